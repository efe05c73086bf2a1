import { createHash, timingSafeEqual } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import type { Clock } from '../../lib/clock.ts'
import type { SigningKeys } from './issuer-keys.ts'
import type { GrantedTokens } from './token-set.ts'
import { checkSignature, isAboutToken, TokenError } from './verify-jwt.ts'

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

/**
 * Stands in place of an ID token that is not valid. Can't be decoded, so `storeTokens` (plugins/tokens) treats it like
 * another user's: it revokes the tokens and ends the session.
 */
const invalidIdToken = 'invalid'

/** How long new tokens wait for the issuer's keys before they are stored. */
const maxWaitMs = 1000

export interface IdTokenChecks {
  /** @throws TokenError */
  decrypt(idToken: string): Promise<string>
  /** @param idToken decrypted */
  check(idToken: string, accessToken: string): Promise<void>
}

/**
 * The tokens of a refresh with their ID token decrypted and checked. It is unchecked if the issuer's keys can't be
 * fetched in time: the refresh token is spent, so the tokens must not wait or get lost.
 *
 * @param onFailure called with the outcome of a check that failed
 */
export async function withCheckedIdToken(
  { idToken, ...others }: GrantedTokens,
  { decrypt, check }: IdTokenChecks,
  clock: Clock,
  onFailure: (outcome: 'invalid' | 'unchecked', error: unknown) => void,
): Promise<GrantedTokens> {
  if (idToken === undefined) return others
  const waiting = new AbortController()
  const late = clock.sleep(maxWaitMs, waiting.signal).then(() => {
    throw new DOMException("The issuer's keys did not come in time", 'TimeoutError')
  })
  let decrypted = invalidIdToken
  try {
    decrypted = await decrypt(idToken)
    await Promise.race([check(decrypted, others.accessToken), late])
    return { ...others, idToken: decrypted }
  } catch (error) {
    const outcome = isAboutToken(error) ? 'invalid' : 'unchecked'
    onFailure(outcome, error)
    return outcome === 'invalid'
      ? { ...others, idToken: invalidIdToken }
      : { ...others, uncheckedIdToken: decrypted }
  } finally {
    late.catch(() => {})
    waiting.abort()
  }
}
