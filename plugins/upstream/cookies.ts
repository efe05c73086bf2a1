import { cookiePairs, nameOf } from '../../http/cookies.ts'
import { isOwnCookie } from '../../http/gateways-own.ts'

export interface CookieRules {
  /** Names that may pass. */
  names: readonly string[]
  /** Names of the session cookies of all frontends in the process, with which their other cookies begin. */
  sessionCookies: readonly string[]
}

/** What of a `Cookie` header passes to the upstream, if anything. */
export function passedCookies(header: string | undefined, rules: CookieRules): string | undefined {
  if (rules.names.length === 0) return undefined
  const passed = cookiePairs(header).filter((pair) => mayPass(pair, rules))
  return passed.length > 0 ? passed.join('; ') : undefined
}

/**
 * Never one of the gateway's own: to an upstream it would give a session away, and from one it would sign the user
 * in as somebody else.
 *
 * @param cookie begins with its name, as in `Cookie` and `Set-Cookie`
 */
export function mayPass(cookie: string, { names, sessionCookies }: CookieRules): boolean {
  const name = nameOf(cookie)
  return names.includes(name) && !sessionCookies.some((session) => isOwnCookie(name, session))
}
