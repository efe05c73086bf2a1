/**
 * Whether a path stays below the target's base path, however the upstream parses it. It is forwarded byte for byte, and
 * upstreams differ in what they decode, whether a backslash is a slash, whether `;…` belongs to a segment, and which
 * invisible characters they skip.
 *
 * @param path as the browser sent it, without the query
 */
export function staysBelow(path: string): boolean {
  // Clients never send a fragment; an attacker may, hoping that two parsers disagree on it.
  if (path.includes('#')) return false
  const decoded = decode(path)
  return decoded !== undefined && !decoded.split(/[/\\]/).some(isParent)
}

function isParent(segment: string): boolean {
  const [name = ''] = segment.split(/[;?#]/, 1)
  // A server that decodes first and then parses the URL treats a double-escaped dot as a dot, too.
  return /^(\.|%2e){2}$/i.test(name.replaceAll(/[\p{Cc}\s]/gu, ''))
}

/**
 * Decodes a path, whose bytes may be in any encoding: if they are not UTF-8, byte by byte as in ISO 8859-1.
 * @returns undefined for overlong or malformed sequences, which lenient decoders may read as a dot, slash or backslash
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
 * A URL that Fastify's router accepts, since it rejects paths that are not UTF-8: each escaped non-ASCII byte of such a
 * path below an upstream's prefix is replaced by `xxx`, which keeps the length. Other URLs are returned unchanged.
 *
 * @param prefixes of the upstreams, as they appear in the path
 */
export function routableUrl(url: string, prefixes: readonly string[]): string {
  const path = pathOf(url)
  if (!path.includes('%') || !undecodable(path)) return url
  return prefixes.some((prefix) => path.startsWith(`${prefix}/`)) ? routablePath(path) + queryOf(url) : url
}

/**
 * The path that is sent to the upstream, byte for byte as the browser sent it.
 * @param destination the target's path, followed by the request's path as the router saw it
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

/** The path of a URL in a request line. */
export function pathOf(url = ''): string {
  return url.split('?', 1)[0] ?? ''
}

/** The query of a URL, with its question mark, or an empty string. */
export function queryOf(url = ''): string {
  const start = url.indexOf('?')
  return start < 0 ? '' : url.slice(start)
}

/** A URL as a query value. Of a long one only what must be is encoded, or it would grow beyond what a request may have. */
export function asQueryValue(url: string): string {
  return url.length > 2000 ? url.replaceAll(/[%&+#]/g, encodeURIComponent) : encodeURIComponent(url)
}
