import type { IncomingHttpHeaders } from 'node:http'

export interface RequestOrigin {
  origin: string | undefined
  /** @see https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header */
  secFetchSite: string | undefined
}

/** True when a browser says that another site's page sent the request, and that site is not on the list. */
export function isForeign(
  { origin, secFetchSite }: RequestOrigin,
  ownOrigin: string,
  otherOrigins: ReadonlySet<string>,
): boolean {
  if (origin !== undefined && otherOrigins.has(origin)) return false
  return secFetchSite === 'cross-site' || (origin ?? ownOrigin) !== ownOrigin
}

/** As much of Node's request as says whether it becomes a WebSocket. */
export interface MaybeUpgrade {
  headers: IncomingHttpHeaders
  /** Whether Node hands the connection over: an `Upgrade` that `Connection` doesn't name asks for nothing. */
  upgrade?: boolean | null
}

/** True for the opening handshake of a WebSocket. @see https://www.rfc-editor.org/rfc/rfc6455#section-4.1 */
export function isWebSocketUpgrade({ headers, upgrade }: MaybeUpgrade): boolean {
  return upgrade === true && headers.upgrade?.toLowerCase() === 'websocket'
}
