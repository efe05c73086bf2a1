import { trimBlanks } from './fields.ts'

/**
 * The cookies of a `Cookie` header, in order, as the browser sent them.
 *
 * Only spaces and tabs around a name are trimmed, as by browsers. `String.trim` removes more characters: a sibling
 * subdomain could set a cookie whose name begins with one of them, and it would become our `__Host-bff`.
 *
 * @see https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis-22#section-4.1.3
 */
function cookiePairs(header: string | undefined): string[] {
  return header?.split(';').map(trimBlanks) ?? []
}

/** The name of a cookie. @param pair starts with its name, as in `Cookie` and `Set-Cookie` */
export function nameOf(pair: string): string {
  return trimBlanks(pair.split('=', 1)[0] ?? '')
}

/**
 * The values of all cookies with a name, in the order of the header.
 *
 * Blanks before the equals sign are ignored, as by @fastify/cookie. By the RFC, browsers send this form for a cookie
 * without a name whose value is `bff =x`.
 */
export function cookieValues(header: string | undefined, name: string): string[] {
  return cookiePairs(header)
    .filter((pair) => pair.includes('=') && nameOf(pair) === name)
    .map((pair) => unescaped(pair.slice(pair.indexOf('=') + 1)))
}

function unescaped(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

/**
 * True for the session cookie and for cookies whose name begins with its name and a hyphen: login transactions, the
 * login counter, the proof of a device. A `__Host-` or `__Secure-` prefix and upper or lower case make no difference.
 */
export function isOwnCookie(name: string, sessionCookie: string): boolean {
  const [given, own] = [plainName(name), plainName(sessionCookie)]
  return given === own || given.startsWith(`${own}-`)
}

/** Browsers apply these prefixes in upper or lower case. @see https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis-22#section-4.1.3 */
function plainName(name: string): string {
  return name.toLowerCase().replace(/^__(host-http|host|secure|http)-/, '')
}

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
