import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { localPath } from '../../plugins/oidc-session/return-url.ts'
import type { SessionRecord } from '../../plugins/oidc-session/session-record.ts'
import type { Session } from '../../plugins/oidc-session/sessions.ts'
import type { RouteOptions } from './options.ts'
import { homePath } from './paths.ts'

type LogoutRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/** Ends the session here, then at the issuer. */
export async function logout(app: FastifyInstance, { publicUrl }: RouteOptions): Promise<void> {
  app.get('/bff/logout', { config: { navigation: true } }, async (request: LogoutRequest, reply) => {
    reply.header('cache-control', 'no-store')
    const returnUrl = localPath(request.query['returnUrl'] ?? homePath(publicUrl), publicUrl.origin)
    if (returnUrl === undefined) throw new GatewayError('BFF_INVALID_RETURN_URL')

    const session = await app.openSession(request, { slide: false })
    if (session && !isWanted(request, session)) throw new GatewayError('BFF_LOGOUT_REJECTED')
    const ended = session ? await end(request, session) : undefined

    const idToken = ended?.tokenSet.idToken
    const url = app.issuer.endSessionUrl({
      postLogoutRedirectUri: new URL(returnUrl, publicUrl),
      ...(idToken !== undefined && { idToken }),
    })
    return reply.redirect(session && url ? url.href : returnUrl)
  })

  async function end(request: LogoutRequest, session: Session): Promise<SessionRecord> {
    // The last record, not the one just read: a renewal may have come between.
    const last = await app.sessions.end(session).catch((error) => app.failSession(request, error))
    const record = last ?? session.record
    app.browserCookies.clearSession(request)
    request.log.info({ event: 'session.ended', reason: 'logout' })
    await revoke(request, record.tokenSet.refreshToken)
    return record
  }

  /** A logout succeeds here whether or not the issuer takes the token back. */
  async function revoke(request: LogoutRequest, refreshToken: string | undefined): Promise<void> {
    if (refreshToken === undefined) return
    await app.issuer.revoke(refreshToken).catch((err: unknown) => {
      request.log.warn({ event: 'token.revocation.failed', err })
    })
  }
}

/** Another site can link here, but it doesn't know the `sid`, and a browser tells where a navigation began. */
function isWanted({ query, headers }: LogoutRequest, { record }: Session): boolean {
  const site = headers['sec-fetch-site']
  return query['sid'] === record.sid || site === 'same-origin' || site === 'none'
}
