import { userClaims } from './claims.ts'
import type { Session } from './sessions.ts'

/** The public view of a session: contains no token and no key. */
export interface SessionInfo {
  issuer: string
  /** The issuer's `sub`. */
  subject: string
  /** The issuer's `sid`, or a random one if it sends none. */
  sid: string
  claims: Record<string, unknown>
  /** Milliseconds since the epoch. */
  createdAt: number
  /** When it expires unless it is used, in milliseconds since the epoch. */
  expiresAt: number
}

export function sessionInfo({ record, expiresAt }: Pick<Session, 'record' | 'expiresAt'>): SessionInfo {
  const { issuer, subject, sid, createdAt } = record
  // Filtered again: records of older versions may contain claims with tokens.
  return { issuer, subject, sid, claims: userClaims(record.claims), createdAt, expiresAt }
}
