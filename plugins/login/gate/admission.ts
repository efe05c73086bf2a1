import { prefersPage } from '../../errors/error-page.ts'
import { type LoginRounds, maxLogins, maxReentries } from './login-rounds.ts'

/** A request for a page or a file of the frontend. */
export interface Visit {
  method: string
  accept: string | undefined
  /** @see https://www.w3.org/TR/fetch-metadata/ */
  secFetchMode: string | undefined
  secFetchSite: string | undefined
  hasSession: boolean
  /** A session cookie came along, whatever it was worth. */
  hasSessionCookie: boolean
  rounds: LoginRounds | undefined
}

/**
 * - `admit`: there is a session
 * - `refuse`: a script or an element asks, to which a login page would be no answer
 * - `re-enter`: there may be a session, whose cookie stayed behind
 * - `log-in`
 * - `stop`: logging in doesn't help
 */
export type Admission = 'admit' | 'refuse' | 're-enter' | 'log-in' | 'stop'

/** @param isStrict the session cookie is `SameSite=Strict` */
export function decideAdmission(visit: Visit, isStrict: boolean): Admission {
  if (visit.hasSession) return 'admit'
  if (!isNavigation(visit)) return 'refuse'
  if (isStrict && !visit.hasSessionCookie && mayHaveLeftCookieBehind(visit)) return 're-enter'
  return visit.rounds && visit.rounds.logins >= maxLogins ? 'stop' : 'log-in'
}

/** A person goes there. */
export function isNavigation({ method, accept, secFetchMode = 'navigate' }: Visit): boolean {
  const reads = method === 'GET' || method === 'HEAD'
  return reads && secFetchMode === 'navigate' && prefersPage(accept)
}

/**
 * Browsers keep a Strict cookie back when another site began the navigation: by a link, or as the issuer does that
 * sends the user back from a login. Coming from a page of ours it goes along, so that one decides.
 */
function mayHaveLeftCookieBehind({ secFetchSite, rounds }: Visit): boolean {
  if (secFetchSite !== undefined)
    return secFetchSite === 'cross-site' && (rounds?.reentries ?? 0) < maxReentries
  // An older browser, which doesn't say. It does so once after each login: that it sends the count of logins shows
  // that it sends this one of re-entries too, so that it can't go round for ever.
  return rounds !== undefined && rounds.reentries === 0
}
