/**
 * Whether a bundler has put a hash of the content into a file's name, so that what is at this path never changes.
 * Vite writes `index-BX3k9a1Z.js`, webpack, Parcel and Create React App `main.4f2a8c1e.css`, Angular and esbuild
 * `chunk-5KQF3V2H.js`.
 *
 * Where it is not sure it says no: a file taken for hashed is kept for a year, any other is asked for again.
 *
 * @param path with slashes
 */
export function hasHashedName(path: string): boolean {
  // SvelteKit's, which says of itself what is in it.
  if (path.includes('/immutable/')) return true
  const parts = path.slice(path.lastIndexOf('/') + 1).split('.')
  // The hash stands before the extension, or before several: `.chunk.js`, `.js.map`.
  for (let end = parts.length - 1; end > 0 && isExtension(parts[end]); end--) {
    if (endsInHash(parts.slice(0, end).join('.'), parts.at(-1))) return true
  }
  return false
}

/** With digits and letters, since `facade` is a word and 20240131 a date. */
const hexadecimal = /(?:^|[-._])(?!\d+[a-f]?$)(?![a-f]{3,}\d*$)([\da-f]{8,64})$/
/** In mixed case: without capitals nothing tells it from `retina2x`. */
const base64url = /[-.](?=[\w-]{8}$)(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])([\w-]+)$/
const base32 = /-([A-Z2-7]{8})$/

function endsInHash(stem: string, extension = ''): boolean {
  // Nobody else gives these names in capitals alone.
  if (hexadecimal.test(stem) || (base32.test(stem) && isMadeByBundlers.test(extension))) return true
  const [, token] = base64url.exec(stem) ?? base32.exec(stem) ?? []
  return token !== undefined && !isSpeaking(token)
}

const isMadeByBundlers = /^(m?js|css|map|woff2?)$/

function isExtension(part = ''): boolean {
  return /^([a-z][a-z\d]{0,11}|LICENSE)$/.test(part)
}

/** A few words and numbers, as people put them together: `DatePick`, `UserList`, `Photo_12`, `RETINA2X`. */
function isSpeaking(token: string): boolean {
  const chunks = token.match(/[A-Z]?[a-z]+|[A-Z]+|\d+/g) ?? []
  return chunks.length <= 3 && chunks.every((chunk) => isAbbreviation.test(chunk) || isWord.test(chunk))
}

const isAbbreviation = /^([A-Z]+|\d+|x|[Jj]s)$/
/** Going by how words begin. */
const isWord = /^([^aeiouy]?|s[^aeiouy][lr]?|[^aeiouy][hlrw]|gn|kn|ps)[aeiouy][a-z]*$/i
