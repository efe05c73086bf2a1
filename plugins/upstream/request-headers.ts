import type { IncomingHttpHeaders } from 'node:http'
import { canonicalAddress } from '../../http/client-address.ts'
import { type CookieRules, passedCookies } from '../../http/cookies.ts'
import { hopByHopTest, isReservedHeader } from '../../http/fields.ts'

export interface RequestHeaderRules {
  /** Lower case. */
  csrfHeader: string
  /** Host and port of the target. */
  host: string
  /** Host of the public URL, with its port unless it is the default one. Request headers can't change it. */
  publicHost: string
  /** Scheme of the public URL, without a colon. */
  publicScheme: string
  /** Path below which the browser sees the upstream. */
  prefix: string
  /** The upstream's methods are limited, so headers that override the method must not pass. */
  limitsMethods: boolean
  /** Names that may pass in addition to those in `needed`. Unset: all. */
  allowed?: ReadonlySet<string> | undefined
  /** Which of the browser's cookies the upstream gets. */
  cookies: CookieRules
}

export type OutgoingHeaders = Record<string, string | string[]>

/** Headers with which many frameworks let a POST override its method. */
const methodOverrides = new Set(['x-http-method-override', 'x-http-method', 'x-method-override'])

/** Headers that describe the body, and conditional request headers. */
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

/**
 * The headers that the upstream gets.
 *
 * @param clients addresses from the client to the nearest proxy, by trusted proxies. What is no address is left out
 * @param hasBody without a body `Content-Length` is left out
 */
export function requestHeaders(
  incoming: IncomingHttpHeaders,
  { csrfHeader, host, publicHost, publicScheme, prefix, limitsMethods, allowed, cookies }: RequestHeaderRules,
  clients: readonly (string | undefined)[],
  hasBody: boolean,
): OutgoingHeaders {
  const isHopByHop = hopByHopTest(incoming.connection)
  const headers: OutgoingHeaders = {}
  for (const name in incoming) {
    const value = incoming[name]
    if (value === undefined || isReservedHeader(name) || name === csrfHeader || isHopByHop(name)) continue
    if (name === 'content-length' && !hasBody) continue
    if (limitsMethods && methodOverrides.has(name)) continue
    if (allowed && !allowed.has(name) && !needed.has(name)) continue
    headers[name] = value
  }
  const cookie = passedCookies(incoming.cookie, cookies)
  if (cookie !== undefined) headers['cookie'] = cookie
  headers['host'] = host
  const addresses = clients.flatMap((client) => canonicalAddress(client) ?? [])
  if (addresses.length > 0) headers['x-forwarded-for'] = addresses.join(', ')
  headers['x-forwarded-host'] = publicHost
  headers['x-forwarded-proto'] = publicScheme
  if (prefix !== '') headers['x-forwarded-prefix'] = prefix
  return headers
}
