import { createHash, timingSafeEqual } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { checkSignature, type SigningKeys } from './issuer-keys.ts'
import { TokenError } from './token-error.ts'

/**
 * Checks what openid-client does not check of an ID token: the signature, and `at_hash` if it is present.
 *
 * @param idToken decrypted
 * @throws when a check fails, or the issuer's keys can't be fetched
 * @see https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken
 */
export async function checkIdToken(idToken: string, accessToken: string, keys: SigningKeys): Promise<void> {
  await checkSignature(idToken, keys)
  const { at_hash: hash } = decodeJwt(idToken)
  if (hash !== undefined && !isHashOf(accessToken, hash, decodeProtectedHeader(idToken).alg ?? ''))
    throw new TokenError('The ID token is for another access token (at_hash)', 'ID_TOKEN_AT_HASH')
}

/** The left half of the hash that the signature's algorithm uses; that of EdDSA is SHA-512. */
function isHashOf(accessToken: string, hash: unknown, algorithm: string): boolean {
  const [bits = '512'] = /(256|384|512)$/.exec(algorithm) ?? []
  const digest = createHash(`sha${bits}`).update(accessToken).digest()
  const expected = Buffer.from(digest.subarray(0, digest.length / 2).toString('base64url'))
  const actual = Buffer.from(String(hash))
  return expected.length === actual.length && timingSafeEqual(expected, actual)
}
