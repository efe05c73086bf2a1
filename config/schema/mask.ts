export const mask = '********'

/** A key or a configuration instead of a path. */
export function looksLikeContent(value: string): boolean {
  return /-----BEGIN|^\s*[{[]/.test(value) || isBareKey.test(value)
}

/** The base64 of a PEM file without its frame: an ASN.1 key begins with these letters. */
const isBareKey = /^\s*M[A-Za-z\d+/\s]{60,}=*\s*$/

/** A value in a message, in one line, without the credentials that a URL may hold. */
export function quote(value: string): string {
  if (looksLikeContent(value)) return mask
  const safe = value.replace(/\/\/\S*@/g, `//${mask}@`).replace(/(:\/\/[^?#]*[?#]).+/s, '$1…')
  return JSON.stringify(safe.length > 100 ? `${safe.slice(0, 99)}…` : safe)
}

/** A URL whose password, if any, can't be read. */
export function maskPassword(url: string): string {
  // The last @ ends the credentials, also when a password holds one that is not encoded.
  return url.replace(/^(\w+:\/\/[^:@/]*):.*@/s, `$1:${mask}@`)
}
