/**
 * Where session records live. The store sees no plaintext: a record is sealed bytes under the hash of its session
 * identifier. Returned bytes may be a slice of a larger buffer, so copy them to keep them for long.
 *
 * Every method throws {@link StoreUnavailableError} when the store does not answer in time. The write may then still
 * have succeeded. While the store is unreachable operations are retried, so each write must be safe to run twice or
 * late.
 */
export interface SessionStore {
  /**
   * Stores a new record with version 1 and adds it to its indexes. Does nothing if the identifier has a record, or if
   * one was destroyed in the last two minutes.
   */
  create(id: string, record: NewRecord): Promise<void>

  /** Stores other shared data, not a session. Overwrites; `read` returns it. */
  put(id: string, sealed: Buffer, ttlMs: number): Promise<void>

  /** The current record, or undefined if it never existed, has ended or has expired. */
  read(id: string): Promise<StoredRecord | undefined>

  /**
   * The record without waiting, if this process has it: a change elsewhere may go unnoticed for two seconds at most, and
   * usually only for milliseconds. For a renewal call `read`.
   * @returns undefined if it is not at hand, which says nothing about the session
   */
  peek(id: string): StoredRecord | undefined

  /**
   * Compare-and-set: writes `sealed` only over the version it derives from, and keeps the time to live. Also
   * over an older version, if the store has lost the one it derives from: it is then still the newest.
   * Never creates a record, so that an ended session is not restored.
   */
  replace(id: string, sealed: Buffer, derivedFrom: number): Promise<ReplaceOutcome>

  /**
   * Sets the time to live of the record and its index entries. Does nothing if it is gone. Never rewrites the record.
   */
  touch(id: string, ttlMs: number): Promise<void>

  /**
   * Ends a session and removes it from its indexes. With `onlyVersion`, only if it still has that version.
   * @param reason remembered as long as the session would have lived: see `endReason`
   * @returns the last sealed record, so that its newest refresh token can be revoked; undefined if nothing was ended
   */
  destroy(id: string, onlyVersion?: number, reason?: string): Promise<SealedRecord | undefined>

  /**
   * Ends the oldest sessions in an index until it has no more than `max`.
   * @param newest never ended. If two sessions are created at once, one may end the other, but they never end each
   *   other
   * @returns the ended sessions, the oldest first
   */
  trim(index: string, max: number, newest: string, reason?: string): Promise<ListedSession[]>

  /** Ends every session in an index. @returns identifiers of the ended sessions */
  destroyBy(index: string, reason?: string): Promise<string[]>

  /** The sessions in an index, the oldest first. */
  list(index: string): Promise<ListedSession[]>

  /**
   * All sessions of the store, in batches. The order is arbitrary, and a session may occur twice. Those that begin or end
   * meanwhile may be missing.
   */
  listAll(): AsyncIterable<ListedSession[]>

  /**
   * Replaces the profile of a session by compare-and-set: `update` is called again if it has changed meanwhile. Does
   * nothing if the session is gone. Changes neither the record nor its version or time to live.
   */
  updateProfile(id: string, update: (profile: Buffer | undefined) => Buffer): Promise<void>

  /**
   * Why a session was ended, until the time at which it would have expired by itself, and for two minutes at least.
   * Undefined if it was not ended, or no reason was given.
   */
  endReason(id: string): Promise<string | undefined>

  /**
   * Takes the session's renewal lock for `ttlMs`, counted from before the command was sent.
   * It expires, so a crashed holder blocks others for no longer than that.
   */
  lock(id: string, ttlMs: number): Promise<LockOutcome>

  /**
   * Resolves when the record is replaced or destroyed or its lock is released, in any process, or when
   * `signal` aborts. Notifications may be lost, so the caller must also poll.
   */
  changed(id: string, signal: AbortSignal): Promise<void>

  /**
   * Adds a marker that expires after `ttlMs`. For values that may be used only once, and for what all processes must know.
   * @returns whether it was added: false if there is one with this name
   */
  addMarker(name: string, ttlMs: number): Promise<boolean>

  /** Remaining time of a marker in milliseconds, 0 if there is none. */
  markerTtlMs(name: string): Promise<number>

  /**
   * Resolves if the store can be read and written, or could just now and may recover. Tests writing at most once a
   * second.
   */
  ping(): Promise<void>

  /** Number of sessions now. Undefined: the store can't tell without reading them all. */
  count(): number | undefined

  close(): Promise<void>
}

export interface NewRecord {
  sealed: Buffer
  /** How long it lives unless touched, in milliseconds. */
  ttlMs: number
  /** Names of the session's indexes, hashed: its subject and `sid`. Entries are removed with the session. */
  indexes: string[]
  /** Sealed data about the session that can be read without its cookie. Removed with the session. */
  profile?: Buffer | undefined
}

/** What can be known of a session without its cookie. */
export interface ListedSession {
  id: string
  /** Milliseconds since the epoch. Unset: an earlier release has created it. */
  createdAt: number | undefined
  profile: Buffer | undefined
}

export interface SealedRecord {
  sealed: Buffer
  /** 1 when created, incremented by every replacement. */
  version: number
}

export interface StoredRecord extends SealedRecord {
  /** Milliseconds until it expires unless touched. */
  ttlMs: number
}

export type ReplaceOutcome =
  /** Written, now or by an earlier try of the same write whose reply was lost. */
  | { outcome: 'replaced'; version: number }
  /** A newer version was stored meanwhile. */
  | { outcome: 'conflict' }
  /** The session has ended. */
  | { outcome: 'gone' }

export type LockOutcome =
  | { outcome: 'acquired'; lock: Lock }
  | { outcome: 'held'; expiresInMs: number }
  /**
   * The store was unreachable until just now. Locks may have expired while their holders could not store their tokens;
   * those holders may go first.
   */
  | { outcome: 'recovering'; expiresInMs: number }
  /** The last holder failed: all gateways back off for a while. */
  | { outcome: 'backing-off'; retryInMs: number }

export interface Lock {
  /** Number of consecutive failures of earlier holders. */
  failures: number
  /** Releases the lock and resets the failures. Only the owner can: once the lock has expired, this does nothing. */
  release(): Promise<void>
  /**
   * Makes the lock last `ms` from now, even if it has expired, unless another holder has taken it. Tries once.
   * @returns whether the caller holds it
   */
  extend(ms: number): Promise<boolean>
  /** Releases the lock after a failure: it can't be taken for `ms`, and the failure is counted. */
  backOff(ms: number): Promise<void>
}

/** The store did not answer, or not in time. */
export class StoreUnavailableError extends Error {
  readonly code = 'STORE_UNAVAILABLE'

  constructor(cause: unknown) {
    super('The session store did not answer', { cause })
  }
}
