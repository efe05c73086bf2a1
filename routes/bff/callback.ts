import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { basePath } from '../../config/index.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { asGatewayError } from '../../plugins/errors/gateway-error.ts'
import { offeredUrl, offerOnErrorPage } from '../../plugins/errors/index.ts'
import type { Login } from '../../plugins/issuer/issuer.ts'
import { LoginError } from '../../plugins/issuer/login-error.ts'
import { hasEndedWithin } from '../../plugins/login/ended-sid.ts'
import { keptReturnUrl } from '../../plugins/login/kept-return-url.ts'
import type { LoginTransaction } from '../../plugins/login/login-transaction.ts'
import { firstOfParallelLogins } from '../../plugins/login/parallel-logins.ts'
import { userClaims } from '../../plugins/session/claims.ts'
import { logName } from '../../plugins/session/session-record.ts'
import { type Session, type SessionReference, sessionHash } from '../../plugins/session/sessions.ts'
import { transactionLifetimeMs } from '../../plugins/session/superseded-session.ts'
import { rejectedLogin } from './begin-login.ts'
import { callbackFormOptions, postAgain } from './callback-form.ts'
import { type AuthorizationResponse, type CallbackRequest, createResponseReader } from './callback-request.ts'
import { countedClient } from './client-tally.ts'
import { type Begun, joinLogin, limitSessions, replaceSession, revokeRefreshToken } from './end-session.ts'
import { isPersonsNavigation } from './navigation.ts'
import { newSession } from './new-session.ts'
import { callbackUrl, homePath, type RouteOptions } from './options.ts'
import { own } from './parent-origins.ts'
import { readForms } from './read-forms.ts'
import { createRedemptionLimit } from './redemption-limit.ts'
import { answerErrorInFrame, isInFrame, postFailureToParent, postOutcomeToParent } from './silent-login.ts'

/** Errors for `prompt=none` when the issuer would have to interact with the user.
 *  @see https://openid.net/specs/openid-connect-core-1_0.html#AuthError */
const silentRefusals = new Set([
  'login_required',
  'interaction_required',
  'consent_required',
  'account_selection_required',
])

/** Finishes the login. The response is checked completely before a session is created. */
export async function callback(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { publicUrl, oidc, requireLogin, clock } = options
  const limitRedemption = createRedemptionLimit(options)
  const responses = createResponseReader(app)
  const route = {
    config: { navigation: true },
    exposeHeadRoute: false,
    errorHandler: answerErrorInFrame(options, isAwaited),
  }
  app.get('/bff/callback', route, async (request: CallbackRequest, reply) => answer(request, reply))
  if (oidc.responseMode.startsWith('form_post')) {
    readForms(app)
    app.post(
      '/bff/callback',
      { ...route, ...callbackFormOptions },
      async (request: CallbackRequest, reply) =>
        postAgain(request, reply.header('cache-control', 'no-store'), options) ?? answer(request, reply),
    )
  }

  async function answer(request: CallbackRequest, reply: FastifyReply): Promise<FastifyReply> {
    reply.header('cache-control', 'no-store')
    try {
      const { parameters, ...response } = await responses.read(request)
      return await finishIn(request, reply, openTransaction(response), parameters)
    } catch (error) {
      // Reloaded, or opened again from the history: the login has succeeded before.
      if (!(error instanceof UnknownLoginError && (await isSignedIn(request)))) throw error
      return reply.redirect(offeredUrl(request) ?? homePath(publicUrl))
    }
  }

  async function finishIn(
    request: CallbackRequest,
    reply: FastifyReply,
    transaction: LoginTransaction,
    parameters: URLSearchParams,
  ): Promise<FastifyReply> {
    const { inFrame, parentOrigins = [own] } = transaction
    try {
      const kept = await keptReturnUrl(app.sessionStore, transaction.returnUrl)
      const returnUrl = kept ?? homePath(publicUrl)
      offerOnErrorPage(request, returnUrl)
      const outcome = await finish(request, reply, transaction, parameters)
      const isLoggedIn = outcome === 'succeeded'
      app.metrics.loginDone(outcome === 'revoked' ? 'failed' : outcome)
      app.browserCookies.clearTransaction(reply, transaction)
      if (isLoggedIn) app.browserCookies.clearLoggedOutHere(request, reply)
      if (outcome === 'revoked') return reply.redirect(loginUrl({ ...transaction, returnUrl }))
      // A login in a frame can't loop.
      if (requireLogin && !inFrame) app.loginGate.loginFinished(request, reply)
      if (inFrame) return postOutcomeToParent(reply, isLoggedIn, parentOrigins, options)
      return reply.redirect(returnUrl)
    } catch (error) {
      app.metrics.loginDone(asGatewayError(error).statusCode < 500 ? 'rejected' : 'failed')
      // If the store is unavailable or the rate limit is reached, the transaction cookie stays, so that the user
      // can retry.
      if (error instanceof GatewayError && error.code !== 'BFF_RATE_LIMITED')
        app.browserCookies.clearTransaction(reply, transaction)
      if (inFrame) return postFailureToParent(request, reply, error, parentOrigins, options)
      throw error
    }
  }

  /** Only browsers send Fetch Metadata: other clients get the error. */
  async function isSignedIn(request: CallbackRequest): Promise<boolean> {
    if (request.headers['sec-fetch-mode'] === undefined || !isPersonsNavigation(request.headers)) return false
    return (await app.openSession(request, { slide: false }).catch(() => null)) !== null
  }

  /**
   * @returns `revoked`: the issuer revoked the new tokens together with those of the previous session, so the login
   *   starts again. This happens only once, because there is no previous session then.
   */
  async function finish(
    request: CallbackRequest,
    reply: FastifyReply,
    transaction: LoginTransaction,
    parameters: URLSearchParams,
  ): Promise<'succeeded' | 'silent_refused' | 'revoked'> {
    const requestedAt = clock.now()
    const login = await limitRedemption(countedClient(request, transaction.replaces), async () => {
      await claim(transaction)
      return redeem(parameters, transaction)
    }).catch((error: unknown) => {
      throw error instanceof LoginError ? rejectedLogin(request, error, parameters.get('code')) : error
    })
    if (!login) return 'silent_refused'
    const begun = await begin(request, login, transaction, requestedAt).catch(async (error: unknown) => {
      // The login failed, so its tokens are not needed.
      await revokeRefreshToken(app, request.log, login.tokens.refreshToken)
      throw error
    })
    const replaced = await replaceSession(app, request, transaction, begun.session)
    if (!replaced) return 'revoked'
    const own = { ...begun, session: replaced }
    const first = await firstOfParallel(request, own)
    const joined = await joinLogin(app, request, own, first)
    if (!joined) return 'revoked'
    const { reference, session } = joined
    request.userSession = session
    if (joined === own) await started(request, session)
    app.browserCookies.replaceByOthers(request, reply, transaction, reference)
    app.browserCookies.setSessionReference(request, reference)
    return 'succeeded'
  }

  async function firstOfParallel(request: CallbackRequest, { reference }: Begun): Promise<SessionReference> {
    const transactions = app.browserCookies.transactions(request)
    const parallel = { store: app.sessionStore, clock }
    return firstOfParallelLogins(parallel, transactions, reference).catch(() => reference)
  }

  async function started(request: CallbackRequest, session: Session): Promise<void> {
    app.metrics.sessionStarted()
    request.log.info({
      event: 'session.started',
      user: logName(session.record),
      sessionHash: sessionHash(session),
    })
    await limitSessions(app, request, session)
    await app.sessionEvents.begun(session, request)
  }

  function loginUrl({ returnUrl, silent, inFrame }: LoginTransaction): string {
    const path = `${basePath(publicUrl)}/bff/${inFrame ? 'silent-login' : 'login'}`
    if (inFrame) return path
    return `${path}?${new URLSearchParams({ returnUrl, ...(silent && { prompt: 'none' }) })}`
  }

  async function begin(
    request: CallbackRequest,
    login: Login,
    { startedAt }: LoginTransaction,
    requestedAt: number,
  ) {
    const claims = await claimsOf(request, login)
    const begun = await app.sessions.begin(newSession({ ...login, claims }, requestedAt))
    await rejectIfEnded(request, begun.session, clock.now() - startedAt)
    return begun
  }

  /** The claims as changed by the application's hook. */
  async function claimsOf({ log }: CallbackRequest, { claims, tokens }: Login) {
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
  async function rejectIfEnded(
    { log }: CallbackRequest,
    session: Session,
    underWayMs: number,
  ): Promise<void> {
    const { clientId } = app.issuer
    if (!(await hasEndedWithin(app.sessionStore, { ...session.record, clientId }, underWayMs))) return
    await app.sessions.end(session)
    log.warn({ event: 'login.rejected', reason: 'ended_meanwhile' })
    throw new GatewayError('BFF_LOGIN_REJECTED', { details: 'The issuer has ended this session meanwhile' })
  }

  /** Whether a parent page waits for a message. If the login is unknown, true for any request from a frame. */
  function isAwaited(request: FastifyRequest): boolean {
    const transaction = responses.transactionSoFar(request)
    return transaction ? transaction.inFrame === true : isInFrame(request)
  }

  function openTransaction({
    state,
    transaction,
  }: Omit<AuthorizationResponse, 'parameters'>): LoginTransaction {
    // Mix-up attack: not every issuer sends `iss`, and a code must never go to another issuer than its own.
    if (transaction?.state !== state || transaction?.issuer !== oidc.issuer.href) {
      throw new UnknownLoginError('This login was not begun in this browser, or too long ago')
    }
    return transaction
  }

  /** A transaction can be used only once, even if its cookie was kept. */
  async function claim({ state }: LoginTransaction): Promise<void> {
    if (await app.sessionStore.claim(`login:${state}`, transactionLifetimeMs)) return
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
}

/** The callback belongs to no login in progress in this browser. */
class UnknownLoginError extends GatewayError {
  constructor(details: string) {
    super('BFF_LOGIN_REJECTED', { details })
  }
}
