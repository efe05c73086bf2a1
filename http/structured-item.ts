/** Longest value that is read, in characters: a JWT with an RSA key of 4096 bits has some 2,000. */
const maxLength = 8192

/**
 * The value of a header that is one string or token of structured fields, without its parameters. Tolerates values that
 * need quotes and have none, such as a JWT.
 *
 * @returns undefined if the header is missing, repeated, too long or empty
 * @see https://www.rfc-editor.org/rfc/rfc8941#section-3.3
 */
export function structuredItem(header: string | string[] | undefined): string | undefined {
  if (typeof header !== 'string' || header.length > maxLength) return undefined
  const value = header.trim()
  const item = value.startsWith('"') ? quoted(value) : value.split(';', 1)[0]?.trim()
  return item === '' || item?.includes(',') ? undefined : item
}

/** A structured string. @param value printable ASCII without quotation mark and backslash */
export function structuredString(value: string): string {
  return `"${value}"`
}

function quoted(value: string): string | undefined {
  const [, content] = /^"([^"\\]*)"\s*(;.*)?$/.exec(value) ?? []
  return content
}
