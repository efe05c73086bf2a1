import * as oidc from 'openid-client'
import { GatewayError } from '../errors/catalogue.ts'
import { failureReason, oauthErrorOf, retryAfterOf } from './grant-failure.ts'
import { LoginError } from './login-error.ts'

/** What an issuer says of itself, not of the request. @see https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1 */
const passingErrors = new Set(['server_error', 'temporarily_unavailable'])

/**
 * Whether the issuer takes authorization requests in no other way. One that only offers it may still decline it to
 * this client, and what it answers is good for one visit: who reloads its login page may have to begin anew.
 * @see https://www.rfc-editor.org/rfc/rfc9126#section-5
 */
export function demandsPushing(configuration: oidc.Configuration): boolean {
  return configuration.serverMetadata().require_pushed_authorization_requests === true
}

/**
 * Hands the authorization request to the issuer, so that the browser carries nothing but a reference to it.
 *
 * @param now in milliseconds since the epoch, for a `Retry-After` that is a date
 * @throws LoginError when the issuer declines the request
 * @throws GatewayError BFF_ISSUER_UNAVAILABLE when it does not answer as it should
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
      cause: new Error(`The authorization request was not taken: ${failureReason(error)}`, { cause: error }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    })
  }
}

function isDeclined(error: unknown): boolean {
  if (error instanceof oidc.WWWAuthenticateChallengeError) return error.status === 401
  const oauthError = oauthErrorOf(error)
  return oauthError !== undefined && !passingErrors.has(oauthError)
}
