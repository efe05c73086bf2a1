/**
 * Where session records live. The store sees no plaintext: a record is sealed bytes under the hash of its session
 * identifier. Bytes that it gives out may be part of a larger buffer, so whoever keeps them for long copies them.
 *
 * Every method throws {@link StoreUnavailableError} when the store can't answer in time. A write that failed so
 * is unknown, not undone: it may have got through. Until then a store that is out of reach is tried again, so each
 * write does no harm when it is carried out twice or late.
 */
export interface SessionStore {
  /**
   * Stores a new record with version 1 and enters it into its indexes, through which others find it. Does nothing when
   * there is a record of that identifier, or one was destroyed in the last two minutes.
   */
  create(id: string, record: NewRecord): Promise<void>

  /** Stores what gateways share that is no session, in place of what was there; `read` finds it. */
  put(id: string, sealed: Buffer, ttlMs: number): Promise<void>

  /** The record as it is now, or nothing when it never was, has ended or has run out of time. */
  read(id: string): Promise<StoredRecord | undefined>

  /**
   * Compare-and-set: writes `sealed` only over the version it derives from, and keeps the time to live. A store that
   * has lost that version and has an older one takes it too: what derives from the lost one is the newest there is.
   * Never creates, so that a session that ended stays dead.
   */
  replace(id: string, sealed: Buffer, derivedFrom: number): Promise<ReplaceOutcome>

  /** Makes the record and its index entries live `ttlMs` from now. Does nothing when it is gone. Never rewrites it. */
  touch(id: string, ttlMs: number): Promise<void>

  /**
   * Ends a session and takes it out of its indexes. With `onlyVersion`, only while it still has that version.
   * @returns the last sealed record, so that its newest refresh token can be revoked; nothing when there was none to end
   */
  destroy(id: string, onlyVersion?: number): Promise<SealedRecord | undefined>

  /**
   * Ends the oldest sessions in an index until it has no more than `max`.
   * @param newest is never ended. Of two created at once, one may end the other, but not both each other
   * @returns those that have ended
   */
  trim(index: string, max: number, newest: string): Promise<string[]>

  /** Ends every session in an index. @returns how many there were */
  destroyBy(index: string): Promise<number>

  /**
   * Takes the session's renewal lock for `ttlMs`, counted from before the command was sent.
   * It lapses by itself, so a holder that died holds nobody up for longer than that.
   */
  lock(id: string, ttlMs: number): Promise<LockOutcome>

  /**
   * Resolves when the record is replaced or destroyed or its lock is released, wherever that happens, or when
   * `signal` aborts. A hint, not a promise: whoever waits also needs a time after which to look again.
   */
  changed(id: string, signal: AbortSignal): Promise<void>

  /** True for the first to claim `name` within `ttlMs`, false for all others: what may be used only once. */
  claim(name: string, ttlMs: number): Promise<boolean>

  /** How long the claim on `name` still lasts, in milliseconds: 0 when there is none. Claims nothing. */
  claimLastsMs(name: string): Promise<number>

  /**
   * Resolves when the store can be read and written, or did just now and may again. Whether it can be written is tried
   * once a second.
   */
  ping(): Promise<void>

  close(): Promise<void>
}

export interface NewRecord {
  sealed: Buffer
  /** How long it lives unless touched, in milliseconds. */
  ttlMs: number
  /** Hashed names of what the session belongs to, such as its subject. An entry leaves with its session. */
  indexes: string[]
}

export interface SealedRecord {
  sealed: Buffer
  /** 1 when created, one more with every replacement. */
  version: number
}

export interface StoredRecord extends SealedRecord {
  /** Milliseconds until it runs out of time unless touched. */
  ttlMs: number
}

export type ReplaceOutcome =
  /** Written, now or by an earlier try of the very same write whose answer was lost. */
  | { outcome: 'replaced'; version: number }
  /** Somebody stored a newer version. */
  | { outcome: 'conflict' }
  /** The session has ended. */
  | { outcome: 'gone' }

export type LockOutcome =
  | { outcome: 'acquired'; lock: Lock }
  | { outcome: 'held'; lapsesInMs: number }
  /**
   * The store was out of reach until just now. Locks have lapsed meanwhile whose holders could not store what they
   * brought, so these come first.
   */
  | { outcome: 'recovering'; lapsesInMs: number }
  /** The last holder failed and asked everybody to stay away for a while. */
  | { outcome: 'backing-off'; retryInMs: number }

export interface Lock {
  /** How many holders in a row have failed before. */
  failures: number
  /** Gives the lock back, and forgets failures. Only the owner can: after it lapsed this does nothing. */
  release(): Promise<void>
  /**
   * Makes the lock last `ms` from now, also one that has lapsed, unless another has taken it since. Tries once.
   * @returns whether it is still, or again, its owner's
   */
  extend(ms: number): Promise<boolean>
  /** Gives the lock back after a failure: nobody can take it for `ms`, and the failure is counted. */
  backOff(ms: number): Promise<void>
}

/** The store did not answer, or not in time. */
export class StoreUnavailableError extends Error {
  readonly code = 'STORE_UNAVAILABLE'

  constructor(cause: unknown) {
    super('The session store did not answer', { cause })
  }
}
