import { hasError, parseChallenges } from '../../http/challenges.ts'
import type { SentToken } from '../tokens/token-headers.ts'
import type { IncomingHeaders } from './response-headers.ts'
import { otherLoginNeeded } from './step-up.ts'

/** What a request is repeated with after a 401: the nonce that the API wants in proofs, or another token. */
export type Remedy = 'nonce' | 'token'

/** Errors that another token would not change. @see https://www.rfc-editor.org/rfc/rfc9449#section-7.1 */
const notAboutToken = [otherLoginNeeded, 'invalid_dpop_proof']

/**
 * Decides what to try after each 401 to one request. Each remedy is tried at most once.
 * @returns undefined if there is none, so that the 401 goes to the browser
 */
export function createRemedies() {
  const tried = new Set<Remedy>()

  return (token: SentToken | null, headers: IncomingHeaders): Remedy | undefined => {
    const remedy = token ? remedyFor(token, headers) : undefined
    if (remedy === undefined || tried.has(remedy)) return undefined
    tried.add(remedy)
    return remedy
  }
}

function remedyFor({ proof }: SentToken, headers: IncomingHeaders): Remedy | undefined {
  const challenges = parseChallenges(headers['www-authenticate'])
  const has = (code: string) => challenges.some((challenge) => hasError(challenge, code))
  if (notAboutToken.some(has)) return undefined
  if (!has('use_dpop_nonce')) return 'token'
  return proof && headers['dpop-nonce'] !== undefined ? 'nonce' : undefined
}
