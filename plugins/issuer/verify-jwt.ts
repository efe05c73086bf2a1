import { compactVerify, decodeJwt, errors, type JWTVerifyGetKey } from 'jose'
import type { Decryption } from './decryption.ts'
import type { SigningKeys } from './issuer-keys.ts'

/** @throws when no key of the issuer verifies the token, or the keys can't be fetched */
export async function checkSignature(token: string, { keys, algorithms }: SigningKeys): Promise<void> {
  await withEachKey(keys, (key) => compactVerify(token, key, { algorithms }))
}

/**
 * Verifies with the key that the token names. If it names none and several keys fit, each of them is tried.
 * @throws what `verify` throws
 */
export async function withEachKey<T>(
  keys: JWTVerifyGetKey,
  verify: (key: JWTVerifyGetKey) => Promise<T>,
): Promise<T> {
  try {
    return await verify(keys)
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    for await (const key of error) {
      try {
        return await verify(async () => key)
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
      }
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

export interface JwtRules extends SigningKeys {
  issuer: string
  clientId: string
}

/**
 * The claims of an answer that the issuer signs, encrypts or both, as JSON. One that is only encrypted is taken as it
 * is, so the caller must know otherwise that it is the issuer's, as of an answer over TLS.
 *
 * @throws TokenError or an error of jose if it is not valid; other errors if the keys can't be fetched
 */
export async function verifiedClaims(jwt: string, { decrypt }: Decryption, rules: JwtRules): Promise<string> {
  const content = await decrypt(jwt)
  if (content !== jwt && content.trimStart().startsWith('{')) return content
  await checkSignature(content, rules)
  const claims = decodeJwt(content)
  if (claims.iss !== undefined && claims.iss !== rules.issuer)
    throw new TokenError('The answer is from another issuer', 'JWT_OF_ANOTHER_ISSUER')
  if (claims.aud !== undefined && ![claims.aud].flat().includes(rules.clientId))
    throw new TokenError('The answer is for another client', 'JWT_FOR_ANOTHER_CLIENT')
  return JSON.stringify(claims)
}

/** A token of the issuer is not valid. */
export class TokenError extends TypeError {
  /** @param code for the log */
  constructor(message: string, code: string, cause?: unknown) {
    super(message, { cause: Object.assign(new Error(message, { cause }), { code }) })
  }
}

/**
 * Whether an error is about a token. False for network errors, and for jose's errors about a key set that could not be
 * fetched or is malformed.
 */
export function isAboutToken(error: unknown): boolean {
  const aboutKeys = ['ERR_JOSE_GENERIC', 'ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID']
  if (error instanceof TokenError) return true
  return error instanceof errors.JOSEError && !aboutKeys.includes(error.code)
}
