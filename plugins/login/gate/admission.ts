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
  /** The request has a session cookie, valid or not. */
  hasSessionCookie: boolean
  /** The session is bound to a device and the request has no proof; `hasSession` is then false. */
  isUnproven: boolean
  rounds: LoginRounds | undefined
}

/**
 * - `admit`: there is a session
 * - `refuse`: requested by a script or an element, which can't use a login page
 * - `re-enter`: there may be a session whose Strict cookie was not sent; request the page again from our own site
 * - `log-in`
 * - `stop`: a login loop
 */
export type Admission = 'admit' | 'refuse' | 're-enter' | 'log-in' | 'stop'

/** @param isStrict whether the session cookie is `SameSite=Strict` */
export function decideAdmission(visit: Visit, isStrict: boolean): Admission {
  if (visit.hasSession) return 'admit'
  if (!isNavigation(visit)) return 'refuse'
  const mayLackCookie = isStrict && !visit.hasSessionCookie
  if ((mayLackCookie || visit.isUnproven) && mayHaveLeftCookieBehind(visit)) return 're-enter'
  return visit.rounds && visit.rounds.logins >= maxLogins ? 'stop' : 'log-in'
}

/** A navigation to a page, not a request by a script or element. */
export function isNavigation({ method, accept, secFetchMode = 'navigate' }: Visit): boolean {
  const reads = method === 'GET' || method === 'HEAD'
  return reads && secFetchMode === 'navigate' && prefersPage(accept)
}

/**
 * Browsers neither send a Strict cookie nor refresh the proof of a device if another site began the navigation: by a link,
 * or by the issuer's redirect after a login. From a page of our own site they do, so a second request shows whether there is a session.
 */
function mayHaveLeftCookieBehind({ secFetchSite, rounds }: Visit): boolean {
  if (secFetchSite !== undefined)
    return secFetchSite === 'cross-site' && (rounds?.reentries ?? 0) < maxReentries
  // An older browser without Fetch Metadata: re-enters once after each login. It has sent the rounds cookie, so it will
  // send it again with the number of re-entries, and this can't loop forever.
  return rounds !== undefined && rounds.reentries === 0
}
