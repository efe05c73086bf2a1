import { hasError, parseChallenges } from '../../http/challenges.ts'
import { isAuthorizationParameter } from '../login/authorization-parameters.ts'

/** The error of such a challenge. */
export const otherLoginNeeded = 'insufficient_user_authentication'

/**
 * The login URL for a step-up, if an API's 401 demands a stronger or a more recent login. Another token of the same
 * login would be refused again.
 *
 * @param challenges `WWW-Authenticate` of the answer
 * @param loginUrl the gateway's login URL, as the browser sees it
 * @see https://www.rfc-editor.org/rfc/rfc9470#section-3
 */
export function stepUpUrl(challenges: string | string[] | undefined, loginUrl: string): string | undefined {
  const wanted = parseChallenges(challenges).find((challenge) => hasError(challenge, otherLoginNeeded))
  if (!wanted) return undefined
  const parameters = ['acr_values', 'max_age'].flatMap((name) => {
    const value = wanted[name]?.trim()
    // Our login endpoint would reject other values.
    const isUsable = value !== undefined && isAuthorizationParameter(name, value)
    return isUsable ? `${name}=${encodeURIComponent(value)}` : []
  })
  return parameters.length === 0 ? loginUrl : `${loginUrl}?${parameters.join('&')}`
}
