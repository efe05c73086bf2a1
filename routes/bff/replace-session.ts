import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { LoginTransaction } from '../../plugins/oidc-session/login-transaction.ts'
import { logName, type SessionRecord } from '../../plugins/oidc-session/session-record.ts'
import { type Session, type SessionReference, sessionHash } from '../../plugins/oidc-session/sessions.ts'
import { rememberReplacement } from '../../plugins/oidc-session/superseded-session.ts'
import { endSession } from './end-session.ts'

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
