import { basePath, type GatewayOptions } from '../../config/index.ts'
import type { Limits } from '../../http/limits.ts'
import type { Clock } from '../../lib/clock.ts'

export type RouteOptions = GatewayOptions & { clock: Clock } & Pick<
    Limits,
    'requestsPerMinute' | 'refusedCodesPerMinute'
  >

/** Where a browser starts, and where it goes when it is not told otherwise. */
export function homePath(publicUrl: URL): string {
  return `${basePath(publicUrl)}/`
}

/** The return URL of a login in a frame. */
export function silentLoginCallbackPath(publicUrl: URL): string {
  return `${basePath(publicUrl)}/bff/silent-login-callback`
}

/** Derived from configuration alone: a redirect URI taken from request headers could be anybody's. */
export function callbackUrl(publicUrl: URL): URL {
  return new URL(`${basePath(publicUrl)}/bff/callback`, publicUrl)
}
