/**
 * Counts logins and re-entries of a browser without a session, to detect loops. Stored for a minute in a plain
 * cookie: a user who changes it affects only their own browser.
 */
export interface LoginRounds {
  /** Number of finished logins. */
  logins: number
  /** Number of re-entries since the last login: requests for the page again, from our own site. */
  reentries: number
}

/** After this many logins without a session, another one won't help. */
export const maxLogins = 3
/** More than a user opens links at once; still ends the loop of a browser that always sends `cross-site`. */
export const maxReentries = 8

export const roundsLifetimeSeconds = 60

/** Must not start with `-tx`, the prefix of transaction cookies. */
export function roundsCookieName(sessionCookieName: string): string {
  return `${sessionCookieName}-rounds`
}

/** Parses the cookie's value. Undefined if it is missing or malformed. */
export function readRounds(value: string | undefined): LoginRounds | undefined {
  const [, logins, reentries] = /^(\d)\.(\d)$/.exec(value ?? '') ?? []
  return logins === undefined ? undefined : { logins: Number(logins), reentries: Number(reentries) }
}

export function formatRounds({ logins, reentries }: LoginRounds): string {
  return `${Math.min(logins, 9)}.${Math.min(reentries, 9)}`
}

export function afterLogin(rounds: LoginRounds | undefined): LoginRounds {
  return { logins: (rounds?.logins ?? 0) + 1, reentries: 0 }
}

export function afterReentry({ logins, reentries }: LoginRounds = { logins: 0, reentries: 0 }): LoginRounds {
  return { logins, reentries: reentries + 1 }
}
