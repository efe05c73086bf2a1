import type { IncomingHttpHeaders } from 'node:http'

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
