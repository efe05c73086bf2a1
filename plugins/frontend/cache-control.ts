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
 * Whether a file's name contains a bundler's hash of the content, so that the file at this path never changes.
 * Vite writes `index-BX3k9a1Z.js`, webpack, Parcel and Create React App `main.4f2a8c1e.css`, Angular and esbuild
 * `chunk-5KQF3V2H.js`.
 *
 * In doubt false: a file with a hashed name is cached for a year, any other is revalidated.
 *
 * @param path with slashes
 */
export function hasHashedName(path: string): boolean {
  // SvelteKit's folder for hashed files.
  if (path.includes('/immutable/')) return true
  const parts = path.slice(path.lastIndexOf('/') + 1).split('.')
  // The hash precedes one or several extensions: `.chunk.js`, `.js.map`.
  for (let end = parts.length - 1; end > 0 && isExtension(parts[end]); end--) {
    if (endsInHash(parts.slice(0, end).join('.'), parts.at(-1))) return true
  }
  return false
}

/** Needs digits and letters: `facade` is a word, 20240131 a date. */
const hexadecimal = /(?:^|[-._])(?!\d+[a-f]?$)(?![a-f]{3,}\d*$)([\da-f]{8,64})$/
/** Needs mixed case: without capitals it can't be distinguished from `retina2x`. */
const base64url = /[-.](?=[\w-]{8}$)(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])([\w-]+)$/
const base32 = /-([A-Z2-7]{8})$/

function endsInHash(stem: string, extension = ''): boolean {
  // For these file types, names in capitals only come from bundlers.
  if (hexadecimal.test(stem) || (base32.test(stem) && isMadeByBundlers.test(extension))) return true
  const [, token] = base64url.exec(stem) ?? base32.exec(stem) ?? []
  return token !== undefined && !isReadable(token)
}

const isMadeByBundlers = /^(m?js|css|map|woff2?)$/

function isExtension(part = ''): boolean {
  return /^([a-z][a-z\d]{0,11}|LICENSE)$/.test(part)
}

/** True for a few words and numbers, as in names that people choose: `DatePick`, `UserList`, `Photo_12`, `RETINA2X`. */
function isReadable(token: string): boolean {
  const chunks = token.match(/[A-Z]?[a-z]+|[A-Z]+|\d+/g) ?? []
  return chunks.length <= 3 && chunks.every((chunk) => isAbbreviation.test(chunk) || isWord.test(chunk))
}

const isAbbreviation = /^([A-Z]+|\d+|x|[Jj]s)$/
/** Judged by the first letters. */
const isWord = /^([^aeiouy]?|s[^aeiouy][lr]?|[^aeiouy][hlrw]|gn|kn|ps)[aeiouy][a-z]*$/i
