/** A year, the usual maximum for `max-age`, in seconds. */
const forever = 31_536_000

/**
 * `Cache-Control` for a file of the frontend. A file whose name contains a hash of its content is cached for good. Any
 * other is revalidated each time: an outdated page would refer to files that no longer exist.
 *
 * @param path of the file, or of its compressed copy
 * @param isPrivate for signed-in users only, so shared caches must not keep it
 */
export function cacheControl(path: string, isPrivate: boolean): string {
  const file = path.replace(/\.(br|gz|deflate)$/, '')
  if (/\.html?$/.test(file) || !hasHashedName(file)) return isPrivate ? 'private, no-cache' : 'no-cache'
  return `${isPrivate ? 'private' : 'public'}, max-age=${forever}, immutable`
}

/**
 * Whether a file's name contains a bundler's hash of the content, so that the file at this path never changes: it is in
 * a folder `immutable`, or the last part of its name before the extensions, after a `-` or `.`, is
 *
 * - 8 to 64 hexadecimal digits in which letters and digits alternate at least twice: `main.4f2a8c1e.css`,
 * - in a folder `assets`, 8 of `A-Za-z0-9_-` in which capitals, small letters, digits and `_-` alternate at least four
 *   times: `index-BX3k9a1Z.js`,
 * - in the name of a script, style sheet, source map or font, 8 of `A-Z2-7` after a `-`: `chunk-5KQF3V2H.js`.
 *
 * The first is what webpack, Parcel and Next write, the second Vite and Rollup, the third Angular and esbuild. Names
 * that people choose, such as `DatePick`, `1200x600` and `20240131`, alternate less, and so do some hashes. Those files
 * are only revalidated more often than necessary.
 *
 * @param path with slashes
 */
export function hasHashedName(path: string): boolean {
  const folders = path.split('/')
  const parts = folders.pop()?.split('.') ?? []
  if (folders.includes('immutable')) return true
  const inAssets = folders.includes('assets')
  // A hash precedes one or several extensions: `.chunk.js`, `.js.map`.
  for (let end = parts.length - 1; end > 0 && isExtension(parts[end]); end--) {
    if (endsInHash(parts.slice(0, end).join('.'), parts.at(-1), inAssets)) return true
  }
  return false
}

function endsInHash(stem: string, extension = '', inAssets: boolean): boolean {
  const hexadecimal = /(?:^|[-._])([\da-f]{8,64})$/.exec(stem)?.[1]
  if (hexadecimal && alternations(hexadecimal) >= 2) return true
  const mixed = /[-.]([\w-]{8})$/.exec(stem)?.[1]
  if (inAssets && mixed && alternations(mixed) >= 4) return true
  return /^(m?js|css|map|woff2?)$/.test(extension) && /-[A-Z2-7]{8}$/.test(stem)
}

/** How often a character is of another kind than the one before it. */
function alternations(text: string): number {
  return (text.match(/[A-Z]+|[a-z]+|\d+|[_-]+/g) ?? []).length - 1
}

function isExtension(part = ''): boolean {
  return /^([a-z][a-z\d]{0,11}|LICENSE)$/.test(part)
}
