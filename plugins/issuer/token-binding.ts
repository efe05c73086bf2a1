import { decodeJwt } from 'jose'
import { type DpopKey, thumbprint } from './dpop/key.ts'
import { TokenError } from './verify-jwt.ts'

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
