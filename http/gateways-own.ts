import { isHopByHop } from './fields.ts'

/**
 * Credentials of the browser, which are the gateway's business, what the gateway says by itself, what only a proxy
 * could know of the client (its address, its certificate by RFC 9440), and what makes some frameworks serve another
 * path than that of the request line.
 */
const replaced = new Set([
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

/** True for what never goes on as the browser sent it. @param name lower case */
export function isOurs(name: string): boolean {
  // Many a server makes - and _ the same: x_forwarded_for would pass for x-forwarded-for.
  return replaced.has(name) || isHopByHop(name) || name.startsWith('x-forwarded-') || name.includes('_')
}

/**
 * True for the session's cookie and for all that begin with its name and a hyphen: those of login transactions, the
 * count of logins, the proof of a device. Neither a `__Host-` or `__Secure-` before it nor the case makes another of it.
 */
export function isOwnCookie(name: string, sessionCookie: string): boolean {
  const [given, own] = [plainName(name), plainName(sessionCookie)]
  return given === own || given.startsWith(`${own}-`)
}

/** Browsers heed these prefixes in any case. @see https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis-22#section-4.1.3 */
function plainName(name: string): string {
  return name.toLowerCase().replace(/^__(host-http|host|secure|http)-/, '')
}
