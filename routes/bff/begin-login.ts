import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { LoginError } from '../../plugins/issuer/issuer.ts'
import { authorizationParameters } from '../../plugins/login/authorization-parameters.ts'
import { keepReturnUrl } from '../../plugins/login/kept-return-url.ts'
import { beginTransaction } from '../../plugins/login/login-transaction.ts'
import { rememberLoginBegun } from '../../plugins/session/superseded-session.ts'
import { callbackUrl, type RouteOptions, silentLoginCallbackPath } from './options.ts'
import { parentOrigins, refererOrigin } from './parent-origins.ts'

export interface RequestedLogin {
  /** Validated. */
  returnUrl: string
  /** The query of the login request, not yet validated. */
  query: Record<string, unknown>
}

/**
 * Sends the browser to the issuer: authorization code flow with PKCE, `state` and `nonce`.
 *
 * @throws GatewayError BFF_CSRF_REJECTED, BFF_INVALID_PARAMETER, BFF_LOGIN_REJECTED, BFF_ISSUER_UNAVAILABLE
 */
export async function beginLogin(
  app: FastifyInstance,
  { publicUrl, oidc, corsOrigins, clock }: RouteOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  { returnUrl, query }: RequestedLogin,
): Promise<FastifyReply> {
  const parameters = new URLSearchParams(oidc.authorizationParams)
  for (const [name, value] of authorizationParameters(query)) parameters.set(name, value)
  const silent = parameters.get('prompt') === 'none'
  const inFrame = silent && returnUrl === silentLoginCallbackPath(publicUrl)
  if (inFrame) rejectForeignPage(request, corsOrigins)
  if (app.browserCookies.hasLoggedOutHere(request)) {
    // The issuer would sign the user in again who has just logged out.
    if (silent) return reply.header('cache-control', 'no-store').redirect(returnUrl)
    parameters.set('prompt', withPrompt(parameters.get('prompt'), app.issuer.loginPrompt()))
  }
  const maxAge = parameters.get('max_age')
  const replaces = app.browserCookies.sessionReference(request)
  const loginKey = await app.issuer.newLoginKey()
  const transaction = beginTransaction(
    {
      issuer: oidc.issuer.href,
      ...(loginKey !== undefined && { loginKey }),
      returnUrl: await keepReturnUrl(app.sessionStore, returnUrl),
      silent,
      ...(inFrame && { inFrame, parentOrigins: parentOrigins(request, { publicUrl, corsOrigins }) }),
      ...(maxAge !== null && { maxAgeSeconds: Number(maxAge) }),
      ...(replaces && { replaces }),
    },
    clock.now(),
  )
  const authorizationRequest = {
    ...transaction,
    redirectUri: callbackUrl(publicUrl),
    parameters,
  }
  const url = await app.issuer.authorizationUrl(authorizationRequest).catch((error: unknown) => {
    throw error instanceof LoginError ? rejectedLogin(request, error) : error
  })
  // Not awaited: a login can begin while the store is unavailable.
  if (replaces) rememberLoginBegun(app.sessionStore, replaces).catch(() => {})
  app.browserCookies.setTransaction(request, reply, transaction)
  return reply.header('cache-control', 'no-store').redirect(url.href)
}

/**
 * A silent login in a frame is useless for other sites, since only pages of this origin and of listed ones receive the
 * outcome. Without this, any site could begin sessions that evict the user's own.
 */
function rejectForeignPage(request: FastifyRequest, corsOrigins: string[]): void {
  if (request.headers['sec-fetch-site'] !== 'cross-site') return
  if (refererOrigin(request, corsOrigins) !== undefined) return
  throw new GatewayError('BFF_CSRF_REJECTED', { details: 'The request comes from a foreign origin' })
}

function withPrompt(given: string | null, needed: string): string {
  return [...new Set([...(given?.split(' ') ?? []), needed])].join(' ')
}

/**
 * Logs why a login was rejected.
 * @param code the authorization code, which some issuers quote in their description
 * @returns the error for the client, without that reason
 */
export function rejectedLogin(
  { log }: FastifyRequest,
  error: LoginError,
  code?: string | null,
): GatewayError {
  const { reason } = error
  const errorDescription = code ? error.errorDescription?.replaceAll(code, '…') : error.errorDescription
  const fields = {
    event: 'login.rejected',
    reason,
    ...(errorDescription !== undefined && { errorDescription }),
  }
  if (error.oauthError === 'access_denied') {
    log.warn(fields, 'The user cancelled the login, or the issuer refused it')
    const details = 'The login was cancelled or refused'
    return new GatewayError('BFF_LOGIN_REJECTED', { details, cause: error })
  }
  log.warn({ ...fields, err: error })
  return new GatewayError('BFF_LOGIN_REJECTED', { cause: error })
}
