import { isAuthorizationParameter } from '../login/authorization-parameters.ts'

/**
 * The login URL for a step-up, if an API's 401 demands a stronger or a more recent login. Another token of the same
 * login would be refused again.
 *
 * @param challenges `WWW-Authenticate` of the answer
 * @param loginUrl the gateway's login URL, as the browser sees it
 * @see https://www.rfc-editor.org/rfc/rfc9470#section-3
 */
export function stepUpUrl(challenges: string | string[] | undefined, loginUrl: string): string | undefined {
  if (challenges === undefined) return undefined
  const wanted = parseChallenges([challenges].flat().join(', ')).find(
    ({ error }) => error?.toLowerCase() === 'insufficient_user_authentication',
  )
  if (!wanted) return undefined
  const parameters = ['acr_values', 'max_age'].flatMap((name) => {
    const value = wanted[name]?.trim()
    // Our login endpoint would reject other values.
    const isUsable = value !== undefined && isAuthorizationParameter(name, value)
    return isUsable ? `${name}=${encodeURIComponent(value)}` : []
  })
  return parameters.length === 0 ? loginUrl : `${loginUrl}?${parameters.join('&')}`
}

/** Whether a 401 demands a new login: another token of the same login would be refused as well. */
export function wantsOtherLogin(challenges: string | string[] | undefined): boolean {
  return stepUpUrl(challenges, '') !== undefined
}

type Challenge = Record<string, string>

/**
 * The parameters of each challenge, of any scheme, with lower-case names. Malformed parts are skipped.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
function parseChallenges(text: string): Challenge[] {
  const challenges: Challenge[] = []
  const part = /([^\s,="]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s,"]*)))?|"(?:[^"\\]|\\.)*"?/g
  for (const [, name, quoted, token] of text.matchAll(part)) {
    const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? token
    const current = challenges.at(-1)
    if (name === undefined) continue
    if (value === undefined) challenges.push(Object.create(null))
    else if (current && !(name.toLowerCase() in current)) current[name.toLowerCase()] = value
  }
  return challenges
}
