/**
 * Trims spaces and tabs: HTTP's optional white space around the names and values of headers. `String.trim` removes more,
 * and a regular expression for trailing blanks takes quadratic time.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.3
 */
export function trimBlanks(text: string): string {
  let start = 0
  let end = text.length
  while (isBlank(text[start])) start++
  while (end > start && isBlank(text[end - 1])) end--
  return text.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

/**
 * The names in a comma-separated header, in lower case.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1
 */
export function listedNames(value: string | string[] = ''): string[] {
  const names = String(value)
    .split(',')
    .map((name) => name.trim().toLowerCase())
  return names.filter((name) => name !== '')
}

/** Hop-by-hop headers, which apply to one connection only. @see https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const hopByHop = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** @param name lower case */
export function isHopByHop(name: string): boolean {
  return hopByHop.has(name)
}

/** A test for headers that `Connection` lists as hop-by-hop. */
export function namedBy(connection: string | string[] | undefined): (name: string) => boolean {
  if (connection === undefined) return () => false
  const named = new Set(listedNames(connection))
  return (name) => named.has(name)
}
