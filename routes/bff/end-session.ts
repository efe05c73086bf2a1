import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { LoginTransaction } from '../../plugins/login/login-transaction.ts'
import { logName, type SessionRecord } from '../../plugins/session/session-record.ts'
import { type Session, type SessionReference, sessionHash } from '../../plugins/session/sessions.ts'
import { rememberReplacement } from '../../plugins/session/superseded-session.ts'

/** A session with the content of its cookie. */
export interface Begun {
  reference: SessionReference
  session: Session
}

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
 * Ends the browser's previous sessions after a successful login, and revokes their refresh tokens: the session recorded
 * when the login began and, if different, the one in the cookie now (another tab may have logged in since).
 *
 * Never fails the login: if the store is unavailable, an old session ends by its timeout.
 *
 * @returns the new session as it is now; undefined if the issuer has revoked its tokens together with the old ones
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

/**
 * When logins finish in parallel in one browser, keeps the first one's session and ends this one, whose cookie has not
 * been sent yet.
 *
 * Never fails the login: this session is kept if the first one has ended or can't be read, or is of another user or
 * authentication, in which case the first one is ended.
 *
 * @returns the session that the browser is to have; undefined if the issuer has revoked its tokens with this one's
 */
export async function joinLogin(
  app: FastifyInstance,
  request: FastifyRequest,
  own: Begun,
  first: SessionReference,
): Promise<Begun | undefined> {
  if (first.id === own.reference.id) return own
  const { log } = request
  try {
    const session = await app.sessions.open(first, { slide: false })
    if (!session) return own
    if (!isSameLogin(session.record, own.session.record)) {
      await end(app, request, first)
      return own
    }
    const { record } = own.session
    await app.sessions.end(own.session)
    log.info({ event: 'login.joined', user: logName(session.record), sessionHash: sessionHash(session) })
    const isRevoked = await revokeRefreshToken(app, log, record.tokenSet.refreshToken)
    if (!isRevoked || !mayShareGrant(record, session.record)) return { reference: first, session }
    const granted = await stillGranted(app, request, session)
    return granted && { reference: first, session: granted }
  } catch (err) {
    log.warn({ event: 'session.replacement.failed', err })
    return own
  }
}

function isSameLogin(one: SessionRecord, other: SessionRecord): boolean {
  return (
    one.issuer === other.issuer && one.subject === other.subject && one.claims['acr'] === other.claims['acr']
  )
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
 * Some issuers treat all logins of a user, or all logins in one session of theirs, as one grant and revoke it as a
 * whole (oidc-provider, Keycloak, Google). RFC 7009 section 2.1 allows it.
 */
function mayShareGrant(old: SessionRecord, { issuer, subject, tokenSet }: SessionRecord): boolean {
  return old.issuer === issuer && old.subject === subject && tokenSet.refreshToken !== undefined
}

/** Checks that the new refresh token still works, by renewing now, while the login can still be restarted. */
async function stillGranted(
  app: FastifyInstance,
  { log }: FastifyRequest,
  session: Session,
): Promise<Session | undefined> {
  try {
    return (await app.userTokens.afterRefusal(session, 'login', log)) ?? session
  } catch (error) {
    if (error instanceof GatewayError && error.statusCode === 401) return undefined
    return session
  }
}

const reason = 'evicted_by_user_limit'

/**
 * Ends the oldest sessions of a user who has more than `SESSION_MAX_PER_USER` since `newest` began. Their refresh
 * tokens can't be revoked: they are encrypted with keys that only their own cookies contain. Never fails the login:
 * sessions that could not be ended now are ended at the next one.
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
