import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { localPath } from '../../plugins/login/return-url.ts'
import type { Session } from '../../plugins/session/sessions.ts'
import { isReplaced } from '../../plugins/session/superseded-session.ts'
import { endSession } from './end-session.ts'
import { isByServiceWorker, isPersonsNavigation } from './navigation.ts'
import { homePath, type RouteOptions } from './options.ts'

type LogoutRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/**
 * Ends the session here, then at the issuer. Its `state` is random, and the issuer hands it back in the query of the
 * page that the browser returns to, which is the frontend's. Nothing is checked against it there: whatever the logout
 * does here is done before the browser leaves, so a return that somebody forged would change nothing.
 */
export async function logout(app: FastifyInstance, { publicUrl }: RouteOptions): Promise<void> {
  app.get(
    '/bff/logout',
    { config: { navigation: true }, exposeHeadRoute: false },
    async (request: LogoutRequest, reply) => {
      reply.header('cache-control', 'no-store')
      if (!isPersonsNavigation(request.headers)) {
        throw new GatewayError('BFF_LOGOUT_REJECTED', { details: 'Only a navigation to this page logs out' })
      }
      const returnUrl = localPath(request.query['returnUrl'] ?? homePath(publicUrl), publicUrl.origin)
      if (returnUrl === undefined) throw new GatewayError('BFF_INVALID_RETURN_URL')

      const session = await app.openSession(request, { slide: false })
      if (session && !isIntended(request, session)) throw new GatewayError('BFF_LOGOUT_REJECTED')
      const ended = session ? await endSession(app, request.log, session, 'logout') : undefined
      if (session && !(await hasNewerSession(request))) app.browserCookies.clearSession(request)
      // What the browser's cache keeps of the API's answers is the user's. Another site's link must not empty it.
      if (session || request.headers['sec-fetch-site'] !== 'cross-site')
        reply.header('clear-site-data', '"cache"')

      const idToken = ended?.record.tokenSet.idToken
      const url = app.issuer.endSessionUrl({
        postLogoutRedirectUri: new URL(returnUrl, publicUrl),
        state: randomBytes(16).toString('base64url'),
        ...(idToken !== undefined && { idToken }),
      })
      return reply.redirect(session && url ? url.href : returnUrl)
    },
  )

  /** While the issuer took its time to revoke the token, the user may have logged in again in another tab. */
  async function hasNewerSession(request: LogoutRequest): Promise<boolean> {
    const reference = app.browserCookies.sessionReference(request)
    return reference !== undefined && isReplaced(app.sessionStore, reference).catch(() => false)
  }
}

/** Another site can link here, but it doesn't know the `sid`, and a browser tells where a navigation began. */
function isIntended({ query, headers }: LogoutRequest, { record }: Session): boolean {
  if (query['sid'] === record.sid) return true
  const site = headers['sec-fetch-site']
  return (site === 'same-origin' || site === 'none') && !isByServiceWorker(headers)
}
