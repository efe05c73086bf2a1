import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { loginLifetimeMs } from '../../http/limits.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { type Login, LoginError } from '../../plugins/issuer/issuer.ts'
import { tokenSetFrom } from '../../plugins/issuer/token-set.ts'
import { hashForLog } from '../../plugins/logging/logger.ts'
import { hasEndedWithin } from '../../plugins/login/ended-sid.ts'
import type { LoginTransaction } from '../../plugins/login/login-transaction.ts'
import { userClaims } from '../../plugins/session/claims.ts'
import { logFields, type Session } from '../../plugins/session/session.ts'
import { sessionClient } from '../../plugins/session/session-profiles.ts'
import type { BrowserSession, NewSession } from '../../plugins/session/sessions.ts'
import { rejectedLogin } from './begin-login.ts'
import { countedClient } from './client-tally.ts'
import { endOldestSessions, revokeRefreshToken } from './end-session.ts'
import { callbackUrl, type RouteOptions } from './options.ts'
import { createRedemptionLimit } from './redemption-limit.ts'
import { joinParallelLogin, replaceSession } from './replace-session.ts'

/** Errors for `prompt=none` when the issuer would have to interact with the user.
 *  @see https://openid.net/specs/openid-connect-core-1_0.html#AuthError */
const silentRefusals = new Set([
  'login_required',
  'interaction_required',
  'consent_required',
  'account_selection_required',
])

/**
 * `revoked`: the issuer revoked the new tokens together with those of the previous session, so the login starts again.
 * This happens only once, because there is no previous session then.
 */
export type LoginOutcome = 'succeeded' | 'silent_refused' | 'revoked'

export type FinishLogin = (
  request: FastifyRequest,
  reply: FastifyReply,
  transaction: LoginTransaction,
  parameters: URLSearchParams,
) => Promise<LoginOutcome>

/**
 * From the authorization response to the session: redeems the code, creates the session, ends the browser's previous
 * one, and sets the cookie. The response is checked completely before a session is created.
 */
export function createLoginFinisher(app: FastifyInstance, options: RouteOptions): FinishLogin {
  const { publicUrl, clock } = options
  const limitRedemption = createRedemptionLimit(options)

  return async (request, reply, transaction, parameters) => {
    const requestedAt = clock.now()
    const login = await limitRedemption(countedClient(request, transaction.replaces), async () => {
      await markUsed(transaction)
      return redeem(parameters, transaction)
    }).catch((error: unknown) => {
      throw error instanceof LoginError ? rejectedLogin(request, error, parameters.get('code')) : error
    })
    if (!login) return 'silent_refused'
    const created = await create(request, login, transaction, requestedAt).catch(async (error: unknown) => {
      // The login failed, so its tokens are not needed.
      await revokeRefreshToken(app, request.log, login.tokens.refreshToken)
      throw error
    })
    const session = await replaceSession(app, request, transaction, created.session)
    if (!session) return 'revoked'
    const replacing = { ...created, session }
    const joined = await joinParallelLogin(app, clock, request, replacing)
    if (!joined) return 'revoked'
    request.userSession = joined.session
    if (joined === replacing) await report(request, joined.session)
    app.browserCookies.setReplacedSession(request, reply, transaction, joined.reference)
    app.browserCookies.setSessionReference(request, joined.reference)
    app.deviceBinding.offerRegistration(reply, joined.reference, joined.session)
    return 'succeeded'
  }

  /** A transaction can be used only once, even if its cookie was kept. */
  async function markUsed({ state }: LoginTransaction): Promise<void> {
    if (await app.sessionStore.addMarker(`login:${state}`, loginLifetimeMs)) return
    throw new UnknownLoginError('This login has been used')
  }

  /** @returns undefined if a silent login was refused, because the user is not signed in at the issuer */
  async function redeem(
    parameters: URLSearchParams,
    transaction: LoginTransaction,
  ): Promise<Login | undefined> {
    const url = callbackUrl(publicUrl)
    url.search = parameters.toString()
    try {
      return await app.issuer.redeemCode(url, transaction)
    } catch (error) {
      const { oauthError = '' } = error instanceof LoginError ? error : {}
      if (transaction.silent && silentRefusals.has(oauthError)) return undefined
      throw error
    }
  }

  async function create(
    request: FastifyRequest,
    login: Login,
    { startedAt }: LoginTransaction,
    requestedAt: number,
  ): Promise<BrowserSession> {
    const claims = await claimsOf(request, login)
    const session = newSession({ ...login, claims }, requestedAt)
    const created = await app.sessions.create(session, sessionClient(request))
    await rejectIfEnded(request, created.session, clock.now() - startedAt)
    return created
  }

  /** The claims as changed by the application's hook. */
  async function claimsOf({ log }: FastifyRequest, { claims, tokens }: Login) {
    const { accessToken, refreshToken, idToken } = tokens
    const ofLogin = [accessToken, refreshToken, idToken].filter((token) => token !== undefined)
    try {
      return { ...(await app.sessionEvents.claims(userClaims(claims, ofLogin))), sid: claims['sid'] }
    } catch (error) {
      log.warn({ event: 'login.rejected', reason: 'claims_hook', err: error })
      throw error
    }
  }

  /** Rejects if a logout notice arrived during this login: it could not end the session, which did not exist yet. */
  async function rejectIfEnded({ log }: FastifyRequest, session: Session, underWayMs: number): Promise<void> {
    const { clientId } = app.issuer
    if (!(await hasEndedWithin(app.sessionStore, { ...session.record, clientId }, underWayMs))) return
    await app.sessions.end(session)
    log.warn({ event: 'login.rejected', reason: 'ended_meanwhile' })
    throw new GatewayError('BFF_LOGIN_REJECTED', { details: 'The issuer has ended this session meanwhile' })
  }

  async function report(request: FastifyRequest, session: Session): Promise<void> {
    app.metrics.sessionStarted()
    request.log.info({
      event: 'session.started',
      ...logFields(session),
      // As in the lines of the issuer's logout notices, which name no session.
      sub: hashForLog(session.record.subject),
      sid: hashForLog(session.record.sid),
    })
    await endOldestSessions(app, request, session)
    await app.sessionEvents.started(session, request)
  }
}

function newSession(login: Login, requestedAt: number): NewSession {
  const { issuer, subject, claims, tokens, sessionState } = login
  const sid = typeof claims['sid'] === 'string' ? claims['sid'] : randomBytes(16).toString('base64url')
  return {
    issuer,
    subject,
    sid,
    claims: { ...claims, sid },
    tokenSet: tokenSetFrom(tokens, requestedAt),
    ...(sessionState !== undefined && { sessionState }),
  }
}

/** The callback belongs to no login in progress in this browser. */
export class UnknownLoginError extends GatewayError {
  constructor(details: string) {
    super('BFF_LOGIN_REJECTED', { details })
  }
}
