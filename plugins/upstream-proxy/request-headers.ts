import type { IncomingHttpHeaders } from 'node:http'
import { type CookieRules, passedCookies } from './cookies.ts'
import { isHopByHop, namedBy } from './hop-by-hop.ts'

export interface RequestHeaderRules {
  /** Lower case. */
  csrfHeader: string
  /** Host and port of the target. */
  host: string
  /** Names that may pass besides those that are needed to read the request right. Unset: all. */
  allowed?: ReadonlySet<string> | undefined
  /** What the upstream gets of the browser's cookies. */
  cookies: CookieRules
}

/** Who asks, as far as trusted proxies can tell. */
export interface Client {
  /** Addresses from the client's to the nearest proxy's. */
  addresses: string[]
  host: string
  protocol: string
}

export type OutgoingHeaders = Record<string, string | string[]>

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

/** What says how the body is to be read, and on what condition the request is to be carried out at all. */
const needed = new Set([
  'content-type',
  'content-length',
  'content-encoding',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
])

/** True for what never goes on as the browser sent it. @param name lower case */
export function isOurs(name: string): boolean {
  // Many a server makes - and _ the same: x_forwarded_for would pass for x-forwarded-for.
  return replaced.has(name) || isHopByHop(name) || name.startsWith('x-forwarded-') || name.includes('_')
}

/**
 * What the upstream gets to see of a request's headers.
 *
 * @param hasBody without one its length is none of the upstream's business
 */
export function requestHeaders(
  incoming: IncomingHttpHeaders,
  { csrfHeader, host, allowed, cookies }: RequestHeaderRules,
  client: Client,
  hasBody: boolean,
): OutgoingHeaders {
  const endsHere = namedBy(incoming.connection)
  const headers: OutgoingHeaders = {}
  for (const name in incoming) {
    const value = incoming[name]
    if (value === undefined || isOurs(name) || name === csrfHeader || endsHere(name)) continue
    if (name === 'content-length' && !hasBody) continue
    if (allowed && !allowed.has(name) && !needed.has(name)) continue
    headers[name] = value
  }
  const cookie = passedCookies(incoming.cookie, cookies)
  if (cookie !== undefined) headers['cookie'] = cookie
  headers['host'] = host
  headers['x-forwarded-for'] = client.addresses.join(', ')
  headers['x-forwarded-host'] = client.host
  headers['x-forwarded-proto'] = client.protocol
  return headers
}
