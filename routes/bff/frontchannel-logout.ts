import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { hashForLog } from '../../plugins/logging/logger.ts'
import { hasSignedOut } from '../../plugins/login/ended-sid.ts'
import { sidIndex, sidIssuer } from '../../plugins/session/session-indexes.ts'
import { forFramesOf } from './answer-headers.ts'
import { endSession } from './end-session.ts'
import type { RouteOptions } from './options.ts'

type Notice = FastifyRequest<{ Querystring: Record<string, unknown> }>

/**
 * The issuer's page loads this in a frame to end a session. A Strict cookie is not sent in a frame on another site,
 * so the session is found by its `sid`, which only the issuer, the gateway and the session's own page know. A session
 * that a logout here has just ended also gets 200, because the issuer's page sends its notice then, too.
 *
 * @see https://openid.net/specs/openid-connect-frontchannel-1_0.html
 */
export async function frontchannelLogout(app: FastifyInstance, { oidc }: RouteOptions): Promise<void> {
  const helmet = forFramesOf(oidc.issuer.origin)

  app.get('/bff/frontchannel-logout', { helmet }, async (request: Notice, reply) => {
    reply.header('cache-control', 'no-store')
    const issuer = await app.issuer.identifier()
    const { iss = issuer, sid } = request.query
    if (typeof sid !== 'string' || sid === '' || !isSameIssuer(iss, issuer)) throw mismatch()

    const hasEnded = await hasSignedOut(app.sessionStore, { issuer, clientId: app.issuer.clientId, sid })
    const isOfCookie = await endSessionOfCookie(request, issuer, sid)
    const others = await endOtherSessions(request, issuer, sid)
    if (!isOfCookie && others === 0 && !hasEnded) throw mismatch()
    if (isOfCookie) app.browserCookies.clearSession(request)
    return reply.type('text/html; charset=utf-8').send('<!doctype html><title>Signed out</title>')
  })

  /** Ends the session of the request's cookie, if one was sent: its refresh token can be revoked. */
  async function endSessionOfCookie(request: Notice, issuer: string, sid: string): Promise<boolean> {
    const session = await app.findSession(request, { slide: false, proof: 'optional' })
    if (!isSameIssuer(session?.record.issuer, issuer) || session?.record.sid !== sid) return false
    await endSession(app, request.log.child({ sid: hashForLog(sid) }), session, 'frontchannel_logout')
    return true
  }

  async function endOtherSessions(request: Notice, issuer: string, sid: string): Promise<number> {
    const sessions = await app.sessionStore.destroyBy(
      sidIndex(issuer, app.issuer.clientId, sid),
      'frontchannel_logout',
    )
    const whose = { sid: hashForLog(sid) }
    app.reportUnreadEndings({ issuer, sid }, 'frontchannel_logout', request.log, sessions, whose)
    return sessions.length
  }
}

function isSameIssuer(named: unknown, issuer: string): boolean {
  return typeof named === 'string' && sidIssuer(named) === sidIssuer(issuer)
}

function mismatch(): GatewayError {
  return new GatewayError('BFF_LOGOUT_REJECTED', {
    details: 'iss and sid must be those of a session, or of one that has just ended',
  })
}
