import { cookiePairs, nameOf } from '../session-cookie/cookie-pairs.ts'

export interface CookieRules {
  /** Names that may pass. */
  names: readonly string[]
  /** Name of the gateway's own cookie, with which those of login transactions begin. */
  sessionCookie: string
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
export function mayPass(cookie: string, { names, sessionCookie }: CookieRules): boolean {
  const name = nameOf(cookie)
  return names.includes(name) && !isOwnCookie(name, sessionCookie)
}

/** True for the session's cookie and those of login transactions. */
export function isOwnCookie(name: string, sessionCookie: string): boolean {
  return name === sessionCookie || name.startsWith(`${sessionCookie}-tx`)
}
