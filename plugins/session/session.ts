import { sessionInfo } from './claims.ts'
import type { SealFormat } from './sealing.ts'
import { logName, type SessionRecord } from './session-record.ts'

/** A session as one request sees it. */
export interface Session {
  /** Hash of the identifier: its key in the store. */
  readonly id: string
  readonly key: Buffer
  readonly record: SessionRecord
  /** Version of the stored record. Incremented by a renewal, when refusals are counted and when a device is bound. */
  readonly version: number
  /** When it expires unless it is used, in milliseconds since the epoch. */
  readonly expiresAt: number
  /**
   * Format of the sealed record. A renewal keeps it: gateways of an earlier release may be running at the same time.
   */
  readonly format: SealFormat
}

/** `toJSON` hides the tokens, so a session sent to a browser by mistake leaks none. */
export class LoadedSession implements Session {
  readonly id: string
  readonly key: Buffer
  readonly record: SessionRecord
  readonly version: number
  readonly expiresAt: number
  readonly format: SealFormat

  constructor({ id, key, record, version, expiresAt, format }: Session) {
    this.id = id
    this.key = key
    this.record = record
    this.version = version
    this.expiresAt = expiresAt
    this.format = format
  }

  toJSON() {
    return sessionInfo(this)
  }
}

/** Identifies a session in logs: the first 16 bytes of its hash. Reveals neither the cookie nor the store key. */
export function sessionHash({ id }: Pick<Session, 'id'>): string {
  return Buffer.from(id, 'base64url').subarray(0, 16).toString('base64url')
}

/** Fields of the log lines about a session. */
export function logFields(session: Pick<Session, 'id' | 'record'>): { user: string; sessionHash: string } {
  return { user: logName(session.record), sessionHash: sessionHash(session) }
}
