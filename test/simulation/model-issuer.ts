/**
 * The issuer of the simulation: every grant rotates the refresh token, and reuse of a spent one
 * revokes the whole family, as RFC 9700 section 4.14.2 says. That is the strictest policy.
 */
export interface ModelIssuer {
  /** A new token family, as from a login. */
  begin(session: number): { refreshToken: string; accessToken: string }
  grant(
    refreshToken: string,
    options?: { rotate?: boolean; resource?: string | undefined },
  ): IssuedTokens | 'refused'
  /** Revokes the whole family of this refresh token. */
  revoke(refreshToken: string): void
  /** The currently valid refresh token, or undefined when the family is revoked. */
  current(session: number): string | undefined
  /** How many were revoked because a spent refresh token was used again. */
  readonly reuses: number
}

export interface IssuedTokens {
  accessToken: string
  /** Omitted in an answer without rotation. */
  refreshToken?: string
}

interface Family {
  current: string
  revoked: boolean
}

export function createModelIssuer(): ModelIssuer {
  const families = new Map<number, Family>()
  let issued = 0
  let reuses = 0

  return {
    begin(session) {
      const refreshToken = newToken('refresh', session)
      families.set(session, { current: refreshToken, revoked: false })
      return { refreshToken, accessToken: newToken('access', session) }
    },

    grant(refreshToken, { rotate = true, resource } = {}) {
      const session = sessionOf(refreshToken)
      const family = families.get(session)
      if (!family || family.revoked) return 'refused'
      if (refreshToken !== family.current) {
        family.revoked = true
        reuses++
        return 'refused'
      }
      const accessToken = newToken(resource === undefined ? 'access' : `access to ${resource}`, session)
      if (!rotate) return { accessToken }
      family.current = newToken('refresh', session)
      return { accessToken, refreshToken: family.current }
    },

    revoke(refreshToken) {
      const family = families.get(sessionOf(refreshToken))
      if (family) family.revoked = true
    },

    current(session) {
      const family = families.get(session)
      return family && !family.revoked ? family.current : undefined
    },

    get reuses() {
      return reuses
    },
  }

  function newToken(kind: string, session: number): string {
    return `${kind} token ${++issued} of session ${session}`
  }
}

/** The session of a token, which is part of its text. */
export function sessionOf(token: string): number {
  return Number(/of session (\d+)/.exec(token)?.[1] ?? Number.NaN)
}

/** The API of an access token, unless it is a session's own. */
export function resourceOf(token: string): string | undefined {
  return /access to (\S+)/.exec(token)?.[1]
}
