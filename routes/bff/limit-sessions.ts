import type { FastifyInstance, FastifyRequest } from 'fastify'
import { logName } from '../../plugins/oidc-session/session-record.ts'
import { type Session, sessionHash } from '../../plugins/oidc-session/sessions.ts'

const reason = 'evicted_by_user_limit'

/**
 * Ends the oldest sessions of a user who has more than `SESSION_MAX_PER_USER` since `newest` began. Their refresh tokens
 * can't be revoked: they are sealed with keys that only their own cookies carry. Nothing here fails the login: sessions
 * that could not be ended are at the next one.
 */
export async function limitSessions(
  app: FastifyInstance,
  { log }: FastifyRequest,
  newest: Session,
): Promise<void> {
  const { issuer, subject } = newest.record
  const user = logName(newest.record)
  try {
    for (const ended of await app.sessions.limit(newest)) {
      const whose = { user, sessionHash: sessionHash(ended) }
      app.reportUnreadEndings({ issuer, subject }, reason, log, 1, whose)
    }
  } catch (err) {
    log.warn({ event: 'session.limit.failed', err })
  }
}
