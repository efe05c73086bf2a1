import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { LoginTransaction } from '../../plugins/login/login-transaction.ts'
import { logName, type SessionRecord } from '../../plugins/session/session-record.ts'
import { type Session, type SessionReference, sessionHash } from '../../plugins/session/sessions.ts'
import { rememberReplacement } from '../../plugins/session/superseded-session.ts'

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

/**
 * Ends the session that the browser had before a login that has just succeeded, and revokes its refresh token. It is
 * known from the transaction, where the login noted it, and from the cookie of the callback, if one came along: that of
 * another tab's login since then.
 *
 * Nothing here fails the login: a store that can't be asked leaves the old session to its timeout.
 *
 * @returns the new session as it is now; nothing when the issuer has taken its tokens back together with the old ones
 */
export async function replaceSession(
  app: FastifyInstance,
  request: FastifyRequest,
  { replaces }: LoginTransaction,
  session: Session,
): Promise<Session | undefined> {
  const inCookie = app.browserCookies.sessionReference(request)
  const references = [replaces, inCookie?.id === replaces?.id ? undefined : inCookie]
  const ended = await Promise.all(
    references
      .filter((reference) => reference !== undefined)
      .map((reference) => end(app, request, reference)),
  )
  if (!ended.some((old) => old && mayShareGrant(old, session.record))) return session
  return stillGranted(app, request, session)
}

/** @returns the last record of a session whose refresh token was revoked */
async function end(
  app: FastifyInstance,
  request: FastifyRequest,
  reference: SessionReference,
): Promise<SessionRecord | undefined> {
  try {
    await rememberReplacement(app.sessionStore, reference)
    const old = await app.sessions.open(reference, { slide: false })
    if (!old) return undefined
    const log = request.log.child({ user: logName(old.record), sessionHash: sessionHash(old) })
    const { record, revoked } = await endSession(app, log, old, 'replaced')
    return revoked ? record : undefined
  } catch (err) {
    request.log.warn({ event: 'session.replacement.failed', err })
    return undefined
  }
}

/**
 * Some issuers count all logins of a user as one grant, or all in one session there, and revoke it as a whole
 * (oidc-provider, Keycloak, Google): RFC 7009 section 2.1 lets them.
 */
function mayShareGrant(old: SessionRecord, { issuer, subject, tokenSet }: SessionRecord): boolean {
  return old.issuer === issuer && old.subject === subject && tokenSet.refreshToken !== undefined
}

/** Whether the issuer still honours the new refresh token: better to learn it now, when a login can begin anew. */
async function stillGranted(
  app: FastifyInstance,
  { log }: FastifyRequest,
  session: Session,
): Promise<Session | undefined> {
  try {
    return (await app.renewer.afterRefusal(session, 'login', log)) ?? session
  } catch (error) {
    if (error instanceof GatewayError && error.statusCode === 401) return undefined
    return session
  }
}

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
