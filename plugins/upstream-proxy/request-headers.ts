import type { IncomingHttpHeaders } from 'node:http'
import { endsHere } from './hop-by-hop.ts'

export interface RequestHeaderRules {
  /** Lower case. */
  csrfHeader: string
  /** Host and port of the target. */
  host: string
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
 * Credentials of the browser, which are the gateway's business, what the gateway says by itself, and what makes
 * some frameworks serve another path than that of the request line.
 */
const replaced = new Set([
  'cookie',
  'authorization',
  'host',
  'expect',
  'forwarded',
  'x-real-ip',
  'x-original-url',
  'x-rewrite-url',
])

/**
 * What the upstream gets to see of a request's headers.
 *
 * @param hasBody without one its length is none of the upstream's business
 */
export function requestHeaders(
  incoming: IncomingHttpHeaders,
  { csrfHeader, host }: RequestHeaderRules,
  client: Client,
  hasBody: boolean,
): OutgoingHeaders {
  const isHopByHop = endsHere(incoming.connection)
  const headers: OutgoingHeaders = {}
  for (const name in incoming) {
    const value = incoming[name]
    if (value === undefined || replaced.has(name) || name === csrfHeader || isHopByHop(name)) continue
    if (name.startsWith('x-forwarded-') || (name === 'content-length' && !hasBody)) continue
    // Many a server makes - and _ the same: x_forwarded_for would pass for x-forwarded-for.
    if (name.includes('_')) continue
    headers[name] = value
  }
  headers['host'] = host
  headers['x-forwarded-for'] = client.addresses.join(', ')
  headers['x-forwarded-host'] = client.host
  headers['x-forwarded-proto'] = client.protocol
  return headers
}
