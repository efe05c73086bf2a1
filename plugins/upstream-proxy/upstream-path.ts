/**
 * Whether a path stays below the target's base path however the upstream reads it: it goes there byte for byte,
 * and upstreams differ in what they decode, in whether a backslash is a slash, in whether `;…` belongs to a
 * segment and in which invisible characters they skip.
 *
 * @param path as the browser sent it, without the query
 */
export function staysBelow(path: string): boolean {
  // A fragment is never sent; who sends one all the same hopes that two readers disagree on it.
  if (path.includes('#')) return false
  const decoded = decode(path)
  return decoded !== undefined && !decoded.split(/[/\\]/).some(isParent)
}

function isParent(segment: string): boolean {
  const [name = ''] = segment.split(/[;?#]/, 1)
  // Who decodes and then parses a URL takes what is still escaped for a dot too.
  return /^(\.|%2e){2}$/i.test(name.replaceAll(/[\p{Cc}\s]/gu, ''))
}

function decode(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** Of the URL in a request line. */
export function pathOf(url = ''): string {
  return url.split('?', 1)[0] ?? ''
}

/** With its question mark. */
export function queryOf(url = ''): string {
  const start = url.indexOf('?')
  return start < 0 ? '' : url.slice(start)
}
