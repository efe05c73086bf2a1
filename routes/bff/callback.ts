import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { basePath } from '../../config/index.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { asGatewayError } from '../../plugins/errors/gateway-error.ts'
import { offeredUrl, offerOnErrorPage } from '../../plugins/errors/index.ts'
import { keptReturnUrl } from '../../plugins/login/kept-return-url.ts'
import type { LoginTransaction } from '../../plugins/login/login-transaction.ts'
import { readForms } from './body-parsers.ts'
import { callbackFormOptions, postAgain } from './callback-form.ts'
import { type AuthorizationResponse, type CallbackRequest, createResponseReader } from './callback-request.ts'
import { createLoginFinisher, UnknownLoginError } from './finish-login.ts'
import { isPersonsNavigation } from './navigation.ts'
import { homePath, type RouteOptions } from './options.ts'
import { ownOrigin } from './parent-origins.ts'
import { answerErrorInFrame, isInFrame, postFailureToParent, postOutcomeToParent } from './silent-login.ts'

/** Where the issuer sends the browser after a login. Finishes it and redirects to its return URL. */
export async function callback(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { publicUrl, oidc, requireLogin } = options
  const finishLogin = createLoginFinisher(app, options)
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
      return await finish(request, reply, requireTransaction(response), parameters)
    } catch (error) {
      // Reloaded, or opened again from the history: the login has succeeded before.
      if (!(error instanceof UnknownLoginError && (await isSignedIn(request)))) throw error
      return reply.redirect(offeredUrl(request) ?? homePath(publicUrl))
    }
  }

  function requireTransaction({
    state,
    transaction,
  }: Omit<AuthorizationResponse, 'parameters'>): LoginTransaction {
    // Mix-up attack: not every issuer sends `iss`, and a code must never go to another issuer than its own.
    if (transaction?.state !== state || transaction?.issuer !== oidc.issuer.href) {
      throw new UnknownLoginError('This login was not begun in this browser, or too long ago')
    }
    return transaction
  }

  async function finish(
    request: CallbackRequest,
    reply: FastifyReply,
    transaction: LoginTransaction,
    parameters: URLSearchParams,
  ): Promise<FastifyReply> {
    const { inFrame, parentOrigins = [ownOrigin] } = transaction
    try {
      const kept = await keptReturnUrl(app.sessionStore, transaction.returnUrl)
      const returnUrl = kept ?? homePath(publicUrl)
      offerOnErrorPage(request, returnUrl)
      const outcome = await finishLogin(request, reply, transaction, parameters)
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
    return (await app.findSession(request, { slide: false, proof: 'optional' }).catch(() => null)) !== null
  }

  function loginUrl({ returnUrl, silent, inFrame }: LoginTransaction): string {
    const path = `${basePath(publicUrl)}/bff/${inFrame ? 'silent-login' : 'login'}`
    if (inFrame) return path
    return `${path}?${new URLSearchParams({ returnUrl, ...(silent && { prompt: 'none' }) })}`
  }

  /** Whether a parent page waits for a message. If the login is unknown, true for any request from a frame. */
  function isAwaited(request: FastifyRequest): boolean {
    const transaction = responses.transactionSoFar(request)
    return transaction ? transaction.inFrame === true : isInFrame(request)
  }
}
