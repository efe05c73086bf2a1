import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { LoginError } from '../../plugins/issuer/login-error.ts'
import { authorizationParameters } from '../../plugins/oidc-session/authorization-parameters.ts'
import { beginTransaction } from '../../plugins/oidc-session/login-transaction.ts'
import { rememberLoginBegun } from '../../plugins/oidc-session/superseded-session.ts'
import type { RouteOptions } from './options.ts'
import { callbackUrl, silentLoginCallbackPath } from './paths.ts'
import { rejectedLogin } from './rejected-login.ts'

export interface LoginWishes {
  /** A path that has been checked. */
  returnUrl: string
  /** What the frontend says about the login, not yet checked. */
  query: Record<string, unknown>
}

/**
 * Sends the browser to the issuer: authorization code flow with PKCE, `state` and `nonce`.
 *
 * @throws GatewayError BFF_INVALID_PARAMETER, BFF_LOGIN_REJECTED, BFF_ISSUER_UNAVAILABLE
 */
export async function beginLogin(
  app: FastifyInstance,
  { publicUrl, oidc, clock }: RouteOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  { returnUrl, query }: LoginWishes,
): Promise<FastifyReply> {
  const parameters = new URLSearchParams(oidc.authorizationParams)
  for (const [name, value] of authorizationParameters(query)) parameters.set(name, value)
  const silent = parameters.get('prompt') === 'none'
  const maxAge = parameters.get('max_age')
  const replaces = app.browserCookies.sessionReference(request)
  const transaction = beginTransaction(
    {
      issuer: oidc.issuer.href,
      returnUrl,
      silent,
      inFrame: silent && returnUrl === silentLoginCallbackPath(publicUrl),
      ...(maxAge !== null && { maxAgeSeconds: Number(maxAge) }),
      ...(replaces && { replaces }),
    },
    clock.now(),
  )
  const authorizationRequest = {
    ...transaction,
    redirectUri: callbackUrl(publicUrl),
    scope: oidc.scope,
    parameters,
  }
  const url = await app.issuer.authorizationUrl(authorizationRequest).catch((error: unknown) => {
    throw error instanceof LoginError ? rejectedLogin(request, error) : error
  })
  // Not awaited: a login begins without the store.
  if (replaces) rememberLoginBegun(app.sessionStore, replaces).catch(() => {})
  app.browserCookies.setTransaction(request, reply, transaction)
  return reply.header('cache-control', 'no-store').redirect(url.href)
}
