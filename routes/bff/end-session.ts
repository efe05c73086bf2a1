import type { FastifyInstance, FastifyRequest } from 'fastify'
import { sessionInfo } from '../../plugins/oidc-session/session-info.ts'
import type { SessionRecord } from '../../plugins/oidc-session/session-record.ts'
import type { Session } from '../../plugins/oidc-session/sessions.ts'

/** Ends the session of a request for good: here, in the browser, and its refresh token at the issuer. */
export async function endSession(
  app: FastifyInstance,
  request: FastifyRequest,
  session: Session,
  reason: 'logout' | 'frontchannel_logout',
): Promise<SessionRecord> {
  // The last record, not the one just read: a renewal may have come between.
  const last = await app.sessions.end(session).catch((error) => app.failSession(request, error))
  const record = last ?? session.record
  app.browserCookies.clearSession(request)
  // Or somebody else has just ended and counted it.
  if (last) {
    app.metrics.sessionEnded(reason)
    app.sessionEvents.ended(sessionInfo({ ...session, record: last }), reason)
    request.log.info({ event: 'session.ended', reason })
  }
  await revokeRefreshToken(app, request, record.tokenSet.refreshToken)
  return record
}

/** Whether or not the issuer takes it back: what has ended here has ended. */
export async function revokeRefreshToken(
  app: FastifyInstance,
  request: FastifyRequest,
  refreshToken: string | undefined,
): Promise<void> {
  if (refreshToken === undefined) return
  await app.issuer.revoke(refreshToken).catch((err: unknown) => {
    request.log.warn({ event: 'token.revocation.failed', err })
  })
}
