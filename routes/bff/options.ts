import { basePath, type GatewayOptions } from '../../config/index.ts'
import type { Limits } from '../../http/limits.ts'
import type { Clock } from '../../lib/clock.ts'

export type RouteOptions = GatewayOptions & { clock: Clock } & Pick<
    Limits,
    'requestsPerMinute' | 'refusedCodesPerMinute' | 'longReturnUrlsPerMinute' | 'sessionEventStreams'
  >

/** Default destination after a login or logout. */
export function homePath(publicUrl: URL): string {
  return `${basePath(publicUrl)}/`
}

/** The return URL of a login in a frame. */
export function silentLoginCallbackPath(publicUrl: URL): string {
  return `${basePath(publicUrl)}/bff/silent-login-callback`
}

/** The post-logout redirect URI. */
export function logoutCallbackUrl(publicUrl: URL): URL {
  return new URL(`${basePath(publicUrl)}/bff/logout-callback`, publicUrl)
}

/** The redirect URI. From configuration only: one built from request headers could be an attacker's. */
export function callbackUrl(publicUrl: URL): URL {
  return new URL(`${basePath(publicUrl)}/bff/callback`, publicUrl)
}
