import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { LoginTransaction } from '../../plugins/login/login-transaction.ts'
import { firstOfParallelLogins } from '../../plugins/login/parallel-logins.ts'
import { logFields, type Session } from '../../plugins/session/session.ts'
import type { SessionRecord } from '../../plugins/session/session-record.ts'
import type { SessionReference } from '../../plugins/session/session-reference.ts'
import type { BrowserSession } from '../../plugins/session/sessions.ts'
import { rememberReplacement } from '../../plugins/session/superseded-session.ts'
import { endSession, revokeRefreshToken } from './end-session.ts'

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
      .map((reference) => endReplaced(app, request, reference)),
  )
  if (!ended.some((old) => old && mayShareGrant(old, session.record))) return session
  return renewToCheck(app, request, session)
}

/**
 * When logins finish in parallel in one browser, keeps the first one's session and ends this one, whose cookie has not
 * been sent yet.
 *
 * Never fails the login: this session is kept if the first one has ended or can't be read, or is of another user or
 * authentication, in which case the first one is ended.
 *
 * @param created by this login
 * @returns the session that the browser is to have; undefined if the issuer has revoked its tokens with this one's
 */
export async function joinParallelLogin(
  app: FastifyInstance,
  clock: Clock,
  request: FastifyRequest,
  created: BrowserSession,
): Promise<BrowserSession | undefined> {
  const first = await firstReference(app, clock, request, created)
  if (first.id === created.reference.id) return created
  const { log } = request
  try {
    const session = await app.sessions.load(first, { slide: false })
    if (!session) return created
    if (!isSameLogin(session.record, created.session.record)) {
      await endReplaced(app, request, first)
      return created
    }
    const { record } = created.session
    await app.sessions.end(created.session)
    log.info({ event: 'login.joined', ...logFields(session) })
    const isRevoked = await revokeRefreshToken(app, log, record.tokenSet.refreshToken)
    if (!isRevoked || !mayShareGrant(record, session.record)) return { reference: first, session }
    const renewed = await renewToCheck(app, request, session)
    return renewed && { reference: first, session: renewed }
  } catch (err) {
    log.warn({ event: 'session.replacement.failed', err })
    return created
  }
}

/** The session of the first of the logins that finish now; this login's own if that is not known. */
async function firstReference(
  app: FastifyInstance,
  clock: Clock,
  request: FastifyRequest,
  { reference }: BrowserSession,
): Promise<SessionReference> {
  const transactions = app.browserCookies.transactions(request)
  return firstOfParallelLogins({ store: app.sessionStore, clock }, transactions, reference).catch(
    () => reference,
  )
}

function isSameLogin(one: SessionRecord, other: SessionRecord): boolean {
  return (
    one.issuer === other.issuer && one.subject === other.subject && one.claims['acr'] === other.claims['acr']
  )
}

/** @returns the last record of a session whose refresh token was revoked */
async function endReplaced(
  app: FastifyInstance,
  request: FastifyRequest,
  reference: SessionReference,
): Promise<SessionRecord | undefined> {
  try {
    await rememberReplacement(app.sessionStore, reference)
    const old = await app.sessions.load(reference, { slide: false })
    if (!old) {
      await app.reportIfFoundEnded(request, reference)
      return undefined
    }
    const log = request.log.child(logFields(old))
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

/**
 * Checks that the new refresh token still works, by renewing now, while the login can still be restarted.
 * @returns undefined if the issuer refused it
 */
async function renewToCheck(
  app: FastifyInstance,
  { log }: FastifyRequest,
  session: Session,
): Promise<Session | undefined> {
  try {
    return (await app.userTokens.forceRenewal(session, 'login', log)) ?? session
  } catch (error) {
    if (error instanceof GatewayError && error.statusCode === 401) return undefined
    return session
  }
}
