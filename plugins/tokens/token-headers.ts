import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { createNonces } from '../issuer/dpop/nonces.ts'
import type { AccessToken } from '../issuer/token-set.ts'
import { dpopProof } from './dpop-proof.ts'

/** An access token as it is sent. */
export interface SentToken {
  /** The scheme of its `Authorization` header. */
  type: 'Bearer' | 'DPoP'
  value: string
  /** Set if the token is bound to a key. @see https://www.rfc-editor.org/rfc/rfc9449 */
  proof?: Proof
}

export interface Proof {
  /** A new proof for one request. */
  for(request: ProvenRequest): string
  /** Keeps the nonce of an answer, if it has one, for the next proofs to that server. */
  keepNonce(server: string, nonce: unknown): void
}

/** The request that a proof is for. */
export interface ProvenRequest {
  method: string
  /** Absolute. A proof names it without query and fragment. */
  url: string
  /** Whose nonces to use: the upstream's target, or the origin of another API. */
  server: string
}

export type TokenHeaders = Record<string, string>

/** @throws GatewayError BFF_ISSUER_UNAVAILABLE when the token is bound to an unknown key */
export type SentTokens = (token: AccessToken) => SentToken

/** Access tokens with what they need to be sent. The nonces are shared by all tokens. */
export function createSentTokens({ now }: Pick<Clock, 'now'>): SentTokens {
  const nonces = createNonces()

  return function sentToken({ accessToken, tokenType, dpopKey }) {
    if (tokenType !== 'DPoP') return { type: 'Bearer', value: accessToken }
    if (!dpopKey) throw new GatewayError('BFF_ISSUER_UNAVAILABLE')
    return {
      type: 'DPoP',
      value: accessToken,
      proof: {
        for: ({ method, url, server }) =>
          dpopProof(dpopKey, { method, url, accessToken, nonce: nonces.of(server), now: now() }),
        keepNonce: nonces.keep,
      },
    }
  }
}

/**
 * The headers that carry a token: the only place that makes them. A proof is new for each request and each repetition.
 *
 * @param token null: none
 */
export function tokenHeaders(token: SentToken | null, request: ProvenRequest): TokenHeaders {
  if (token === null) return {}
  const { type, value, proof } = token
  const authorization = `${type} ${value}`
  return proof ? { authorization, dpop: proof.for(request) } : { authorization }
}

/** @param nonce the `DPoP-Nonce` of an API's answer, if it has one */
export function keepNonce(token: SentToken | null, server: string, nonce: unknown): void {
  if (nonce !== undefined) token?.proof?.keepNonce(server, nonce)
}

/**
 * The token without headers, for an application that makes its own.
 * @throws TypeError when it needs a proof, which only the gateway can make
 */
export function bareToken({ value, proof }: SentToken): string {
  if (proof)
    throw new TypeError(
      'The token is bound to a key: use app.bff.fetch or request.tokenHeaders, which make the proof',
    )
  return value
}
