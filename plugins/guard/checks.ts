import { isIP } from 'node:net'
import type { GatewayOptions } from '../../config/index.ts'
import { isWebSocketUpgrade, type MaybeUpgrade } from '../../http/fields.ts'
import { GatewayError } from '../errors/catalogue.ts'

export type RequestCheckOptions = Pick<GatewayOptions, 'csrfHeader' | 'publicUrl' | 'corsOrigins'>

/** Checks that a request comes from the frontend. @throws GatewayError BFF_CSRF_REJECTED, BFF_WRONG_HOST */
export interface RequestChecks {
  /** Checks the host that the request or a trusted proxy names: without a cookie, only this stops DNS rebinding. */
  host(host: string): void
  /** Checks `Origin` and `Sec-Fetch-Site`, which identify the page that sent the request. */
  origin(request: MaybeUpgrade): void
  /** Checks the CSRF header: other sites can't set it without a CORS preflight, which is refused. */
  header(request: MaybeUpgrade): void
}

export function requestChecks({ csrfHeader, publicUrl, corsOrigins }: RequestCheckOptions): RequestChecks {
  const allowedOrigins = new Set(corsOrigins)
  return {
    host(host) {
      if (!namesPublicHost(host, publicUrl)) throw new GatewayError('BFF_WRONG_HOST')
    },
    origin(request) {
      const { headers } = request
      const secFetchSite = headers['sec-fetch-site']
      const site = typeof secFetchSite === 'string' ? secFetchSite : undefined
      if (isForeign({ origin: headers.origin, secFetchSite: site }, publicUrl.origin, allowedOrigins)) {
        throw new GatewayError('BFF_CSRF_REJECTED', { details: 'The request comes from a foreign origin' })
      }
      // Scripts can't set headers on a WebSocket, and CORS does not apply to it, so the origin is required.
      if (isWebSocketUpgrade(request) && headers.origin === undefined) {
        throw new GatewayError('BFF_CSRF_REJECTED', { details: 'A WebSocket needs an Origin' })
      }
    },
    header(request) {
      if (request.headers[csrfHeader] === '1' || isWebSocketUpgrade(request)) return
      throw new GatewayError('BFF_CSRF_REJECTED', { details: `The header ${csrfHeader}: 1 is missing` })
    },
  }
}

export interface RequestOrigin {
  origin: string | undefined
  /** @see https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header */
  secFetchSite: string | undefined
}

/** True if the browser states that a page of another site sent the request, and its origin is not on the list. */
export function isForeign(
  { origin, secFetchSite }: RequestOrigin,
  ownOrigin: string,
  otherOrigins: ReadonlySet<string>,
): boolean {
  if (origin !== undefined && otherOrigins.has(origin)) return false
  return secFetchSite === 'cross-site' || (origin ?? ownOrigin) !== ownOrigin
}

/**
 * Whether a request names the host of the public URL, in upper or lower case, with or without the default port. An
 * attacker's page can point its own domain name here (DNS rebinding) and is then same-origin with us for the browser;
 * but the browser sends that name as the host.
 *
 * @param host of the request; empty if there is none, which browsers never do
 */
function namesPublicHost(host: string, publicUrl: URL): boolean {
  if (host === '') return true
  // Otherwise the URL parser could find more than host and port in it.
  if (/[^\w.:[\]-]/.test(host)) return false
  return URL.parse(`${publicUrl.protocol}//${host}`)?.host === publicUrl.host
}

/**
 * Whether a request is addressed to this gateway. An attacker's page can point its own domain name here (DNS rebinding)
 * and then read what the development server returns, such as source code; but the browser sends that name as the host.
 *
 * @param host of the request, with or without a port
 */
export function isOwnHost(host: string, publicUrl: URL): boolean {
  const url = URL.parse(`http://${host}`)
  if (!url) return false
  const { hostname } = url
  return (
    hostname === publicUrl.hostname ||
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
  )
}
