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

/**
 * A path is bytes, of whatever encoding: what is no UTF-8 is taken byte by byte, as ISO 8859 has it.
 * @returns nothing for what some readers take for a dot, slash or backslash that UTF-8 would not allow there
 */
function decode(path: string): string | undefined {
  if (!undecodable(path)) return decodeURIComponent(path)
  if (/%(?![\da-f]{2})|%c[01]|%[ef][\da-f]%[\dab][\da-f]/i.test(path)) return undefined
  return path.replaceAll(/%([\da-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function undecodable(path: string): boolean {
  try {
    decodeURIComponent(path)
    return false
  } catch {
    return true
  }
}

/**
 * The URL for the router, which refuses paths that are no UTF-8: of the same length, each escape of a byte that is not
 * ASCII replaced by letters of no meaning. Other URLs stay as they are.
 *
 * @param prefixes of upstreams, as they stand before the path
 */
export function routableUrl(url: string, prefixes: readonly string[]): string {
  const path = pathOf(url)
  if (!path.includes('%') || !undecodable(path)) return url
  return prefixes.some((prefix) => path.startsWith(`${prefix}/`)) ? routablePath(path) + queryOf(url) : url
}

/**
 * Where a request goes, byte for byte.
 * @param destination the target's path, and behind it what the router made of the request's
 * @param url as the browser sent it
 */
export function pathBelow({ pathname }: URL, destination: string, url: string): string {
  const base = pathname.replace(/\/$/, '')
  const routed = destination.slice(base.length)
  const sent = pathOf(url).slice(-routed.length)
  return base + (routablePath(sent) === routed ? sent : routed)
}

function routablePath(path: string): string {
  return undecodable(path) ? path.replaceAll(/%[89a-f][\da-f]/gi, 'xxx') : path
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
