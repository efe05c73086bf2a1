import type { IncomingHttpHeaders } from 'node:http'

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

/** Returns a test for names that `Connection` lists: these headers are hop-by-hop, so they are not forwarded. */
export function hopByHopTest(connection: string | string[] | undefined): (name: string) => boolean {
  if (connection === undefined) return () => false
  const named = new Set(listedNames(connection))
  return (name) => named.has(name)
}

/**
 * Request headers that are not forwarded: the browser's credentials, headers that the gateway sets itself, headers that
 * only a proxy may set about the client (its address, its certificate by RFC 9440), and headers with which some
 * frameworks override the path of the request line.
 */
const reserved = new Set([
  'cookie',
  'authorization',
  'dpop',
  'host',
  'expect',
  'forwarded',
  'forwarded-for',
  'x-forwarded',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  'appengine-user-ip',
  'cf-connecting-ip',
  'cf-connecting-ipv6',
  'cf-pseudo-ipv4',
  'do-connecting-ip',
  'fastly-client-ip',
  'client-cert',
  'client-cert-chain',
  'x-original-url',
  'x-rewrite-url',
])

/** True for request headers that are never forwarded as the browser sent them. @param name lower case */
export function isReservedHeader(name: string): boolean {
  // Many servers treat - and _ alike: x_forwarded_for would count as x-forwarded-for.
  return reserved.has(name) || isHopByHop(name) || name.startsWith('x-forwarded-') || name.includes('_')
}

/** The part of Node's request that shows whether it opens a WebSocket. */
export interface MaybeUpgrade {
  headers: IncomingHttpHeaders
  /** Node's `upgrade` flag. False for an `Upgrade` header that `Connection` does not name. */
  upgrade?: boolean | null
}

/** True for the opening handshake of a WebSocket. @see https://www.rfc-editor.org/rfc/rfc6455#section-4.1 */
export function isWebSocketUpgrade({ headers, upgrade }: MaybeUpgrade): boolean {
  return upgrade === true && headers.upgrade?.toLowerCase() === 'websocket'
}

/**
 * Whether a request names one host. Node takes the first of several, and a proxy in front may have taken another.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-3.2
 */
export function namesOneHost(httpVersion: string, rawHeaders: string[]): boolean {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === 4 && rawHeaders[i]?.toLowerCase() === 'host') hosts++
  }
  // HTTP/2 has a pseudo header of its own for that.
  return hosts === 1 || (hosts === 0 && httpVersion !== '1.1')
}
