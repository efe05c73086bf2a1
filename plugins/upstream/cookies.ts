import { cookiePairs, isOwnCookie, nameOf } from '../../http/cookies.ts'

export interface CookieRules {
  /** Names of the cookies that are passed on. */
  names: readonly string[]
  /** Names of the session cookies of all frontends in the process. Their other cookies begin with these names. */
  sessionCookies: readonly string[]
}

/** The part of a `Cookie` header that is sent to the upstream, if any. */
export function passedCookies(header: string | undefined, rules: CookieRules): string | undefined {
  if (rules.names.length === 0) return undefined
  const passed = cookiePairs(header).filter((pair) => mayPass(pair, rules))
  return passed.length > 0 ? passed.join('; ') : undefined
}

/**
 * True for cookies on the list, but never for the gateway's own: sent to an upstream they would disclose a session,
 * and set by an upstream they would sign the user in as another user.
 *
 * @param cookie starts with its name, as in `Cookie` and `Set-Cookie`
 */
export function mayPass(cookie: string, { names, sessionCookies }: CookieRules): boolean {
  const name = nameOf(cookie)
  return names.includes(name) && !sessionCookies.some((session) => isOwnCookie(name, session))
}
