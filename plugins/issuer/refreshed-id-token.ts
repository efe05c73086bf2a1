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

/**
 * The tokens of a refresh with their ID token decrypted and checked. It is left out if the issuer's keys can't be
 * fetched in time: the refresh token is spent, so the tokens must not wait or get lost.
 *
 * @param check the ID token's checks; gives it decrypted
 * @param onFailure called with the outcome of a check that failed
 */
export async function withCheckedIdToken(
  { idToken, ...others }: GrantedTokens,
  check: (idToken: string, accessToken: string) => Promise<string>,
  clock: Clock,
  onFailure: (outcome: 'invalid' | 'unchecked', error: unknown) => void,
): Promise<GrantedTokens> {
  if (idToken === undefined) return others
  const waiting = new AbortController()
  const late = clock.sleep(maxWaitMs, waiting.signal).then(() => {
    throw new DOMException("The issuer's keys did not come in time", 'TimeoutError')
  })
  try {
    return { ...others, idToken: await Promise.race([check(idToken, others.accessToken), late]) }
  } catch (error) {
    const outcome = isAboutToken(error) ? 'invalid' : 'unchecked'
    onFailure(outcome, error)
    return outcome === 'invalid' ? { ...others, idToken: invalidIdToken } : others
  } finally {
    late.catch(() => {})
    waiting.abort()
  }
}
