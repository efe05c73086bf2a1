/**
 * What a browser has gone through without a session to show for it. It keeps that itself, for a minute, in a cookie
 * that is not sealed: who changes it harms nobody else.
 */
export interface LoginRounds {
  /** Logins that were finished. */
  logins: number
  /** How often it was asked, since the last of them, to come in again from a page of ours. */
  reentries: number
}

/** After so many logins without a session another one would end no better. */
export const maxLogins = 3
/** More than links that somebody opens at once, and few enough for a browser that never says anything but cross-site. */
export const maxReentries = 8

export const roundsLifetimeSeconds = 60

/** Not `-tx`, with which cookies of login transactions begin. */
export function roundsCookieName(sessionCookieName: string): string {
  return `${sessionCookieName}-rounds`
}

/** Of the cookie's value. Nothing when there is none, or none of ours. */
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
