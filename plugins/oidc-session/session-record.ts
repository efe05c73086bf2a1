import type { TokenSet } from './token-set.ts'

/** What is kept of a signed-in user, sealed in the store. Times are milliseconds since the epoch. */
export interface SessionRecord {
  issuer: string
  /** The issuer's `sub`. */
  subject: string
  /** The issuer's `sid`, or one of our own when it sends none. */
  sid: string
  /** Of the ID token and UserInfo, without those that only matter to the protocol. */
  claims: Record<string, unknown>
  /** @see https://openid.net/specs/openid-connect-session-1_0.html#CreatingUpdatingSessions */
  sessionState?: string
  createdAt: number
  tokenSet: TokenSet
  renewals: number
  renewedAt?: number
}

/** Who it is, for logs and pages. */
export function displayName({ claims, subject }: SessionRecord): string {
  const names = [claims['name'], claims['preferred_username'], claims['email']]
  return names.find((name): name is string => typeof name === 'string' && name !== '') ?? subject
}
