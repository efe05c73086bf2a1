import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { SessionRecord } from '../../plugins/oidc-session/session-record.ts'
import type { Session } from '../../plugins/oidc-session/sessions.ts'

/**
 * Ends a session here, and revokes its refresh token at the issuer.
 *
 * @param log whose lines name the session's user and hash
 * @returns the last record, and whether its refresh token is revoked now
 * @throws StoreUnavailableError
 */
export async function endSession(
  app: FastifyInstance,
  log: FastifyBaseLogger,
  session: Session,
  reason: 'logout' | 'frontchannel_logout' | 'replaced',
): Promise<{ record: SessionRecord; revoked: boolean }> {
  // The last record, not the one just read: a renewal may have come between.
  const last = await app.sessions.end(session)
  const record = last ?? session.record
  // Or another request has just ended and counted it.
  if (last) app.reportEnding({ ...session, record: last }, reason, log)
  return { record, revoked: await revokeRefreshToken(app, log, record.tokenSet.refreshToken) }
}

/** Whether or not the issuer takes it back, what has ended here has ended. @returns whether the issuer did */
export async function revokeRefreshToken(
  app: FastifyInstance,
  log: FastifyBaseLogger,
  refreshToken: string | undefined,
): Promise<boolean> {
  if (refreshToken === undefined) return false
  try {
    await app.issuer.revoke(refreshToken)
    return app.issuer.offersRevocation()
  } catch (err) {
    log.warn({ event: 'token.revocation.failed', err })
    return false
  }
}
