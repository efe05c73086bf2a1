import { decodeJwt } from 'jose'
import * as oidc from 'openid-client'
import type { Clock } from '../../lib/clock.ts'
import { type ProofOptions, proofOptions } from './dpop/issuer-proofs.ts'
import { type DpopKey, thumbprint } from './dpop/key.ts'
import type { Nonces } from './dpop/nonces.ts'
import { type GrantFailure, grantFailure } from './grant-failure.ts'
import type { Issuer } from './issuer.ts'
import { refreshedIdToken } from './token-answers.ts'
import { type GrantedTokens, type TokenParameters, tokenParameters } from './token-set.ts'
import { withGrantDeadline } from './transport.ts'
import { TokenError } from './verify-jwt.ts'

export type GrantOutcome = { outcome: 'granted'; tokens: GrantedTokens } | GrantFailure

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'

export interface GrantsOptions {
  configuration(): Promise<oidc.Configuration>
  clock: Clock
  /** How long the issuer's answer is awaited, in milliseconds. */
  timeoutMs: number
  /** A key for tokens that have none yet. Undefined: they are bearer tokens. */
  newKey(): Promise<DpopKey | undefined>
  nonces: Nonces
}

type SendGrant = (issuer: oidc.Configuration, proofs: ProofOptions) => Promise<oidc.TokenEndpointResponse>

/** The grants without a browser. */
export function createGrants({
  configuration,
  clock,
  timeoutMs,
  newKey,
  nonces,
}: GrantsOptions): Pick<Issuer, 'refresh' | 'exchange' | 'clientCredentials'> {
  return {
    refresh: (refreshToken, parameters = {}, key) =>
      attempt(key, (issuer, proofs) =>
        oidc.refreshTokenGrant(issuer, refreshToken, given(parameters), proofs),
      ),

    async exchange(accessToken, parameters, key) {
      const subject = { subject_token: accessToken, subject_token_type: accessTokenType }
      const result = await attempt(key, (issuer, proofs) =>
        oidc.genericGrantRequest(issuer, tokenExchange, { ...subject, ...given(parameters) }, proofs),
      )
      // The issuer refused the access token, not the refresh token, so the session is not over.
      if (result.outcome === 'refused')
        return { outcome: 'failed', reason: result.oauthError, requestSpecific: true }
      return result.outcome === 'granted'
        ? { ...result, tokens: accessTokenOnly(result.tokens) }
        : accessTokenOnly(result)
    },

    clientCredentials: (parameters) =>
      attempt(undefined, (issuer, proofs) => oidc.clientCredentialsGrant(issuer, given(parameters), proofs)),
  }

  async function attempt(knownKey: DpopKey | undefined, send: SendGrant): Promise<GrantOutcome> {
    let answer: oidc.TokenEndpointResponse | undefined
    try {
      let key = knownKey
      answer = await withGrantDeadline(timeoutMs, async () => {
        const issuer = await configuration()
        key ??= await newKey()
        return send(issuer, await proofOptions(issuer, key, nonces))
      })
      return { outcome: 'granted', tokens: await grantedTokens(answer, refreshedIdToken(answer), key) }
    } catch (error) {
      const failure = await grantFailure(error, clock.now())
      const refreshToken = answer?.refresh_token ?? refreshTokenOfRefused(error)
      return failure.outcome === 'failed' && refreshToken !== undefined
        ? { ...failure, refreshToken }
        : failure
    }
  }
}

/**
 * The refresh token of an answer that openid-client has refused, for example for its `expires_in`. The answer's members
 * are in the cause of the error, or of its cause.
 */
function refreshTokenOfRefused(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { body } = Object(cause.cause)
    const refreshToken = Object(body).refresh_token
    if (typeof refreshToken === 'string' && refreshToken !== '') return refreshToken
  }
  return undefined
}

/**
 * @param idToken the response's ID token
 * @param key the key that the access token was requested for, if it was
 * @throws TokenError when it is not bound to that key
 */
export async function grantedTokens(
  answer: oidc.TokenEndpointResponse,
  idToken: string | undefined,
  key: DpopKey | undefined,
): Promise<GrantedTokens> {
  await checkBinding(answer.access_token, answer.token_type, key)
  return {
    accessToken: answer.access_token,
    ...(key ? { tokenType: 'DPoP', dpopKey: key } : { tokenType: 'Bearer' }),
    ...(answer.expires_in !== undefined && { expiresInMs: answer.expires_in * 1000 }),
    ...(answer.refresh_token !== undefined && { refreshToken: answer.refresh_token }),
    ...(idToken !== undefined && { idToken }),
    ...(answer.scope !== undefined && { scope: answer.scope }),
  }
}

/** Some issuers also send a refresh or ID token for the new access token. These must not replace the session's. */
function accessTokenOnly<T extends { refreshToken?: string; idToken?: string }>({
  refreshToken: _,
  idToken: __,
  ...tokens
}: T): Omit<T, 'refreshToken' | 'idToken'> {
  return tokens
}

function given(parameters: TokenParameters): Record<string, string> {
  return { ...tokenParameters(parameters) }
}

/**
 * Checks that an access token is of the requested kind. A bearer token in place of a bound one must be discarded where
 * the binding matters, and no API would accept a token that is bound to another key.
 *
 * @param tokenType `token_type` of the answer, in lower case
 * @param key the key that a bound token was requested for. Unset: a bearer token was requested
 * @throws TokenError
 * @see https://www.rfc-editor.org/rfc/rfc9449#section-5
 */
export async function checkBinding(
  accessToken: string,
  tokenType: string,
  key: DpopKey | undefined,
): Promise<void> {
  if (!key && tokenType !== 'bearer')
    throw new TokenError(
      'The access token is bound to a key, and a bearer token was requested',
      'token_is_bound',
    )
  if (!key) return
  if (tokenType !== 'dpop')
    throw new TokenError(
      'The access token is a bearer token, and OIDC_DPOP=true demands one that is bound to a key',
      'token_not_bound',
    )
  const bound = boundTo(accessToken)
  if (bound !== undefined && bound !== (await thumbprint(key)))
    throw new TokenError('The access token is bound to another key', 'token_of_another_key')
}

/** The thumbprint that a JWT access token names. Undefined if it names none, or is opaque. */
function boundTo(accessToken: string): unknown {
  try {
    const { cnf }: { cnf?: unknown } = decodeJwt(accessToken)
    return Object(cnf).jkt
  } catch {
    return undefined
  }
}
