import * as oidc from 'openid-client'
import type { Clock } from '../../lib/clock.ts'
import { type GrantFailure, grantFailure } from './grant-failure.ts'
import type { Issuer } from './issuer.ts'
import { refreshedIdToken } from './token-answers.ts'
import type { GrantedTokens } from './token-set.ts'
import { type TokenParameters, tokenParameters } from './token-target.ts'

export type GrantOutcome = { outcome: 'granted'; tokens: GrantedTokens } | GrantFailure

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'

/** The grants without a browser. */
export function createGrants(
  configuration: () => Promise<oidc.Configuration>,
  clock: Clock,
): Pick<Issuer, 'refresh' | 'exchange' | 'clientCredentials'> {
  return {
    refresh: (refreshToken, parameters = {}) =>
      attempt((issuer) => oidc.refreshTokenGrant(issuer, refreshToken, given(parameters))),

    async exchange(accessToken, parameters) {
      const subject = { subject_token: accessToken, subject_token_type: accessTokenType }
      const result = await attempt((issuer) =>
        oidc.genericGrantRequest(issuer, tokenExchange, { ...subject, ...given(parameters) }),
      )
      // The issuer refused the access token, not the refresh token, so the session is not over.
      if (result.outcome === 'refused')
        return { outcome: 'failed', reason: result.oauthError, requestSpecific: true }
      return result.outcome === 'granted' ? { ...result, tokens: accessTokenOnly(result.tokens) } : result
    },

    clientCredentials: (parameters) =>
      attempt((issuer) => oidc.clientCredentialsGrant(issuer, given(parameters))),
  }

  async function attempt(
    grant: (issuer: oidc.Configuration) => Promise<oidc.TokenEndpointResponse>,
  ): Promise<GrantOutcome> {
    try {
      const answer = await grant(await configuration())
      return { outcome: 'granted', tokens: grantedTokens(answer, refreshedIdToken(answer)) }
    } catch (error) {
      return await grantFailure(error, clock.now())
    }
  }
}

/**
 * @param idToken the response's ID token
 * @throws TypeError for a `DPoP` token: openid-client accepts it, but the gateway sends no proofs
 */
export function grantedTokens(
  answer: oidc.TokenEndpointResponse,
  idToken: string | undefined,
): GrantedTokens {
  if (answer.token_type !== 'bearer') throw new TypeError('The access token is no bearer token')
  return {
    accessToken: answer.access_token,
    tokenType: 'Bearer',
    ...(answer.expires_in !== undefined && { expiresInMs: answer.expires_in * 1000 }),
    ...(answer.refresh_token !== undefined && { refreshToken: answer.refresh_token }),
    ...(idToken !== undefined && { idToken }),
    ...(answer.scope !== undefined && { scope: answer.scope }),
  }
}

/** Some issuers also send a refresh or ID token for the new access token. These must not replace the session's. */
function accessTokenOnly({ refreshToken: _, idToken: __, ...tokens }: GrantedTokens): GrantedTokens {
  return tokens
}

function given(parameters: TokenParameters): Record<string, string> {
  return { ...tokenParameters(parameters) }
}
