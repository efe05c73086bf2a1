import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isLoopback } from '../../config/index.ts'
import type { RouteOptions } from './options.ts'

/**
 * Cookies don't depend on the port, so two gateways on localhost overwrite each other's session cookie of the same
 * name: a login at one signs the user out at the other. The log says so once, when a browser sends such a cookie.
 */
export function createUnreadableCookieWarning(
  app: FastifyInstance,
  { publicUrl, cookie }: RouteOptions,
): (request: FastifyRequest) => void {
  let hasWarned = !isLoopback(publicUrl.hostname)
  return (request) => {
    if (hasWarned || request.cookies[cookie.name] === undefined) return
    if (app.browserCookies.sessionReference(request) !== undefined) return
    hasWarned = true
    request.log.warn(
      { event: 'cookie.unreadable', cookie: cookie.name },
      `The cookie ${cookie.name} can't be decrypted, and this login will overwrite it. If another gateway on this host uses the name, set a different COOKIE_NAME for each; if this one was restarted, set SESSION_KEYS`,
    )
  }
}
