import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { batches } from '../../lib/batches.ts'
import type { Session } from '../../plugins/session/session.ts'
import type { SessionOwner } from '../../plugins/session/session-list.ts'
import { logName, type SessionRecord } from '../../plugins/session/session-record.ts'

/**
 * Ends a session here, and revokes its refresh token at the issuer.
 *
 * @param log its bindings include the session's user and hash
 * @returns the last record, and whether its refresh token was revoked
 * @throws StoreUnavailableError
 */
export async function endSession(
  app: FastifyInstance,
  log: FastifyBaseLogger,
  session: Session,
  reason: 'logout' | 'frontchannel_logout' | 'replaced',
): Promise<{ record: SessionRecord; revoked: boolean }> {
  // The last record, not the one just read: a renewal may have happened in between.
  const last = await app.sessions.end(session, { reason })
  const record = last ?? session.record
  // Otherwise another request has just ended and reported it.
  if (last) app.reportEnding({ ...session, record: last }, reason, log)
  return { record, revoked: await revokeRefreshToken(app, log, record.tokenSet.refreshToken) }
}

/** Never fails: the session has ended in any case. @returns whether the issuer has revoked the token */
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

/**
 * Ends the oldest sessions of a user who has more than `SESSION_MAX_PER_USER` since `newest` was created. Their refresh
 * tokens can't be revoked: they are encrypted with keys that only their own cookies contain. Never fails the login:
 * sessions that could not be ended now are ended at the next one.
 */
export async function endOldestSessions(
  app: FastifyInstance,
  { log }: FastifyRequest,
  newest: Session,
): Promise<void> {
  const { issuer, subject } = newest.record
  const user = logName(newest.record)
  try {
    for (const ended of await app.sessions.enforceLimit(newest)) {
      app.reportUnreadEndings({ issuer, subject }, 'evicted_by_user_limit', log, [ended.id], { user })
    }
  } catch (err) {
    log.warn({ event: 'session.limit.failed', err })
  }
}

/** Sessions ended at the same time. */
export const endedAtATime = 100

/**
 * Ends sessions of one user whose cookies are not here. Their refresh tokens can't be revoked: they are encrypted with
 * keys that only their own cookies contain.
 *
 * @returns how many have not ended before
 * @throws StoreUnavailableError
 */
export async function endWithoutCookie(
  app: FastifyInstance,
  log: FastifyBaseLogger,
  { issuer, subject }: SessionOwner,
  sessions: Pick<Session, 'id'>[],
  reason: 'logout' | 'admin',
): Promise<number> {
  let count = 0
  for (const some of batches(sessions, endedAtATime)) {
    await Promise.all(
      some.map(async (session) => {
        if (!(await app.sessionStore.destroy(session.id, undefined, reason))) return
        count++
        app.reportUnreadEndings({ issuer, subject }, reason, log, [session.id], {})
      }),
    )
  }
  return count
}
