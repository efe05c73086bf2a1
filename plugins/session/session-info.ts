import { userClaims } from './claims.ts'
import type { Session } from './sessions.ts'

/** What anybody may know of a session: no token, and nothing that opens it. */
export interface SessionInfo {
  issuer: string
  /** The issuer's `sub`. */
  subject: string
  /** The issuer's `sid`, or one of our own when it sends none. */
  sid: string
  claims: Record<string, unknown>
  /** Milliseconds since the epoch. */
  createdAt: number
  /** When it ends unless it is used, in milliseconds since the epoch. */
  expiresAt: number
}

export function sessionInfo({ record, expiresAt }: Pick<Session, 'record' | 'expiresAt'>): SessionInfo {
  const { issuer, subject, sid, createdAt } = record
  // Again, for records of an older version, which kept claims with tokens in them.
  return { issuer, subject, sid, claims: userClaims(record.claims), createdAt, expiresAt }
}
