import type { StoreTime } from './flight.ts'
import type { Renewable } from './policy.ts'
import type { Attempt, HeldLock, RenewalResult } from './renewal-lock.ts'

/** A token that is renewed: where it is stored, and which grant renews it. `T` holds it. */
export interface RenewableToken<T> {
  /** One renewal per key at a time in this process. */
  key: string
  /** One grant per lock at a time over all processes. */
  lockId: string
  log: RenewalLog
  /** The token's times. Undefined if there is no token yet. */
  times(holder: T): TokenTimes | undefined
  /** Whether the token was renewed since `seen` was read. */
  isNewer(current: T, seen: T): boolean
  /** Reads the holder from the store. Undefined: it is gone. */
  read(): Promise<T | undefined>
  /** Renews the token and stores it before it is used. */
  grant(current: T, lock: HeldLock, storeTime: StoreTime): Promise<Attempt<T>>
  /**
   * Prepares a renewal, before the lock is taken.
   * @param backOffLeftMs how long this process still backs off
   * @returns why it can't be renewed now, if so
   */
  prepare?(seen: T, storeTime: StoreTime, backOffLeftMs: () => number): Promise<RenewalResult<T> | undefined>
  /** Ends a holder whose token has expired and can't be renewed. Unset: a renewal is tried. */
  end?(holder: T): Promise<RenewalResult<T>>
  /** Called with the newer token, from a grant or from the store. */
  onObtained?(holder: T): void
}

export interface TokenTimes extends Renewable {
  /** When its grant was stored, if it is known. */
  renewedAt?: number | undefined
}

/** The part of a pino logger that a renewal writes to. Its bindings already include `reqId`, `user`, `sessionHash`. */
export interface RenewalLog {
  trace(fields: object): void
  debug(fields: object): void
  info(fields: object): void
  warn(fields: object): void
}
