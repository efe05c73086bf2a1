import * as oidc from 'openid-client'
import { GatewayError } from '../errors/catalogue.ts'
import type { ProofOptions } from './dpop/issuer-proofs.ts'
import { failureReason, oauthErrorOf, retryAfterOf } from './grant-failure.ts'
import { LoginError } from './issuer.ts'

/**
 * Errors about the issuer's health, not about the request.
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1
 */
const passingErrors = new Set(['server_error', 'temporarily_unavailable'])

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
  proofs: ProofOptions,
  now: number,
): Promise<URL> {
  if (!configuration.serverMetadata().pushed_authorization_request_endpoint)
    throw new GatewayError('BFF_ISSUER_UNAVAILABLE', {
      cause: new Error(
        'The metadata name no endpoint for pushed authorization requests: OIDC_PAR=never sends none',
      ),
    })
  try {
    return await oidc.buildAuthorizationUrlWithPAR(configuration, parameters, proofs)
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
