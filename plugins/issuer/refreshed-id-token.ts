import type { Clock } from '../../lib/clock.ts'
import { isAboutToken } from './token-error.ts'
import type { GrantedTokens } from './token-set.ts'

/**
 * Stands in place of an ID token that is not valid. Can't be decoded, so `storeTokens` (plugins/tokens) treats it like
 * another user's: it revokes the tokens and ends the session.
 */
export const invalidIdToken = 'invalid'

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
