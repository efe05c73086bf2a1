import { isHopByHop } from './fields.ts'

/**
 * Request headers that are not forwarded: the browser's credentials, headers that the gateway sets itself, headers that
 * only a proxy may set about the client (its address, its certificate by RFC 9440), and headers with which some
 * frameworks override the path of the request line.
 */
const reserved = new Set([
  'cookie',
  'authorization',
  'host',
  'expect',
  'forwarded',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
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

/**
 * True for the session cookie and for cookies whose name begins with its name and a hyphen: login transactions, the
 * login counter, the proof of a device. A `__Host-` or `__Secure-` prefix and upper or lower case make no difference.
 */
export function isOwnCookie(name: string, sessionCookie: string): boolean {
  const [given, own] = [plainName(name), plainName(sessionCookie)]
  return given === own || given.startsWith(`${own}-`)
}

/** Browsers apply these prefixes in upper or lower case. @see https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis-22#section-4.1.3 */
function plainName(name: string): string {
  return name.toLowerCase().replace(/^__(host-http|host|secure|http)-/, '')
}
