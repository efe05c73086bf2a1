import type { AccessToken } from '../issuer/token-set.ts'

/** An access token as it is sent. */
export interface SentToken {
  /** The scheme of its `Authorization` header. */
  type: 'Bearer' | 'DPoP'
  value: string
  /** Makes the proof for one request, if the token is bound to a key. @see https://www.rfc-editor.org/rfc/rfc9449 */
  proof?: (request: ProvenRequest) => Promise<string>
}

/** The request that a proof is for. */
export interface ProvenRequest {
  method: string
  /** Absolute. A proof names it without query and fragment. */
  url: string
}

export type TokenHeaders = Record<string, string>

export function sentToken({ accessToken }: AccessToken): SentToken {
  return { type: 'Bearer', value: accessToken }
}

/**
 * The headers that carry a token: the only place that makes them. Made at once unless the token needs a proof, which is
 * new for each request and each repetition.
 *
 * @param token null: none
 */
export function tokenHeaders(
  token: SentToken | null,
  request: ProvenRequest,
): TokenHeaders | Promise<TokenHeaders> {
  if (token === null) return {}
  const { type, value, proof } = token
  const headers = { authorization: `${type} ${value}` }
  return proof ? proof(request).then((dpop) => ({ ...headers, dpop })) : headers
}

/**
 * The token without headers, for an application that makes its own.
 * @throws TypeError when it needs a proof, which only the gateway can make
 */
export function bareToken({ value, proof }: SentToken): string {
  if (proof) throw new TypeError('The token is bound to a key: use app.bff.fetch, which sends the proof')
  return value
}
