import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { namedBy } from '../../http/fields.ts'
import { isOurs } from '../../http/gateways-own.ts'
import { type CookieRules, passedCookies } from './cookies.ts'

export interface RequestHeaderRules {
  /** Lower case. */
  csrfHeader: string
  /** Host and port of the target. */
  host: string
  /** Host of the public URL, with a port that is not the default one: what no header of a request can change. */
  publicHost: string
  /** Scheme of the public URL, without a colon. */
  publicScheme: string
  /** Path below which the browser sees the upstream. */
  prefix: string
  /** Only some methods may be used, so a request must not be taken for one of another method. */
  limitsMethods: boolean
  /** Names that may pass besides those that are needed to read the request right. Unset: all. */
  allowed?: ReadonlySet<string> | undefined
  /** What the upstream gets of the browser's cookies. */
  cookies: CookieRules
}

export type OutgoingHeaders = Record<string, string | string[]>

/** What makes many frameworks take a POST for a request of another method. */
const methodOverrides = new Set(['x-http-method-override', 'x-http-method', 'x-method-override'])

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

/**
 * What the upstream gets to see of a request's headers.
 *
 * @param clients what trusted proxies say of who asks, from the client to the nearest proxy. Only addresses pass
 * @param hasBody without one its length is none of the upstream's business
 */
export function requestHeaders(
  incoming: IncomingHttpHeaders,
  { csrfHeader, host, publicHost, publicScheme, prefix, limitsMethods, allowed, cookies }: RequestHeaderRules,
  clients: readonly (string | undefined)[],
  hasBody: boolean,
): OutgoingHeaders {
  const endsHere = namedBy(incoming.connection)
  const headers: OutgoingHeaders = {}
  for (const name in incoming) {
    const value = incoming[name]
    if (value === undefined || isOurs(name) || name === csrfHeader || endsHere(name)) continue
    if (name === 'content-length' && !hasBody) continue
    if (limitsMethods && methodOverrides.has(name)) continue
    if (allowed && !allowed.has(name) && !needed.has(name)) continue
    headers[name] = value
  }
  const cookie = passedCookies(incoming.cookie, cookies)
  if (cookie !== undefined) headers['cookie'] = cookie
  headers['host'] = host
  const addresses = clients.flatMap((client) => addressIn(client) ?? [])
  if (addresses.length > 0) headers['x-forwarded-for'] = addresses.join(', ')
  headers['x-forwarded-host'] = publicHost
  headers['x-forwarded-proto'] = publicScheme
  if (prefix !== '') headers['x-forwarded-prefix'] = prefix
  return headers
}

/** Some proxies add a port, and then put an address of IPv6 in brackets. Others write words such as `unknown`. */
function addressIn(client = ''): string | undefined {
  if (isIP(client) !== 0) return client
  const [, v6, v4] = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/.exec(client) ?? []
  const address = v6 ?? v4 ?? ''
  return isIP(address) === (v6 === undefined ? 4 : 6) ? address : undefined
}
