import * as oidc from 'openid-client'
import { GatewayError } from '../errors/catalogue.ts'
import { failureReason, oauthErrorOf, retryAfterOf } from './grant-failure.ts'
import { LoginError } from './login-error.ts'

/**
 * Errors about the issuer's health, not about the request.
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1
 */
const passingErrors = new Set(['server_error', 'temporarily_unavailable'])

/**
 * Whether the issuer requires pushed authorization requests. An issuer that only offers them may decline them for this
 * client, and a `request_uri` is for one use: a user who reloads the login page may have to start again.
 * @see https://www.rfc-editor.org/rfc/rfc9126#section-5
 */
export function demandsPushing(configuration: oidc.Configuration): boolean {
  return configuration.serverMetadata().require_pushed_authorization_requests === true
}

/**
 * Pushes the authorization request to the issuer, so that the browser carries only a reference to it.
 *
 * @param now in milliseconds since the epoch, for a `Retry-After` that is a date
 * @throws LoginError when the issuer declines the request
 * @throws GatewayError BFF_ISSUER_UNAVAILABLE on any other failure
 * @see https://www.rfc-editor.org/rfc/rfc9126
 */
export async function pushedAuthorizationUrl(
  configuration: oidc.Configuration,
  parameters: URLSearchParams,
  now: number,
): Promise<URL> {
  try {
    return await oidc.buildAuthorizationUrlWithPAR(configuration, parameters)
  } catch (error) {
    if (isDeclined(error)) throw new LoginError(error)
    const retryAfterMs = retryAfterOf(error, now)
    throw new GatewayError('BFF_ISSUER_UNAVAILABLE', {
      cause: new Error(
        `The issuer did not accept the pushed authorization request: ${failureReason(error)}`,
        { cause: error },
      ),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    })
  }
}

function isDeclined(error: unknown): boolean {
  if (error instanceof oidc.WWWAuthenticateChallengeError) return error.status === 401
  const oauthError = oauthErrorOf(error)
  return oauthError !== undefined && !passingErrors.has(oauthError)
}
