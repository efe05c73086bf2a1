import type { GatewayOptions } from '../../config/index.ts'
import { isForeign, isWebSocketUpgrade, type MaybeUpgrade } from '../../http/origin.ts'
import { GatewayError } from '../errors/catalogue.ts'

export type RequestGuardOptions = Pick<GatewayOptions, 'csrfHeader' | 'publicUrl' | 'corsOrigins'>

/** Checks that a request comes from the frontend. @throws GatewayError BFF_CSRF_REJECTED, BFF_WRONG_HOST */
export interface RequestChecks {
  /** By the host that it names, as far as trusted proxies can tell: what no cookie guards, a foreign page could read. */
  host(host: string): void
  /** By what the browser says of the page that sent it. */
  origin(request: MaybeUpgrade): void
  /** By a header that a page elsewhere can't set without a CORS preflight, which it doesn't get. */
  header(request: MaybeUpgrade): void
}

export function requestChecks({ csrfHeader, publicUrl, corsOrigins }: RequestGuardOptions): RequestChecks {
  const others = new Set(corsOrigins)
  return {
    host(host) {
      if (!namesPublicHost(host, publicUrl)) throw new GatewayError('BFF_WRONG_HOST')
    },
    origin(request) {
      const { headers } = request
      const secFetchSite = headers['sec-fetch-site']
      const site = typeof secFetchSite === 'string' ? secFetchSite : undefined
      if (isForeign({ origin: headers.origin, secFetchSite: site }, publicUrl.origin, others)) {
        throw new GatewayError('BFF_CSRF_REJECTED', { details: 'The request comes from a foreign origin' })
      }
      // Scripts can't set headers on a WebSocket, and CORS doesn't apply to it: its origin stands for both.
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

/**
 * Whether a request names the host of the public URL, in any case, a default port named or not. A page elsewhere can
 * make its own name point here (DNS rebinding), and to a browser it is then of one origin with us; but the browser
 * sends that name.
 *
 * @param host of the request, empty where it names none, as no browser does
 */
export function namesPublicHost(host: string, publicUrl: URL): boolean {
  if (host === '') return true
  // A URL would take more than host and port from it.
  if (/[^\w.:[\]-]/.test(host)) return false
  return URL.parse(`${publicUrl.protocol}//${host}`)?.host === publicUrl.host
}
