import type { Clock } from '../../lib/clock.ts'
import type { Lock, SessionStore } from '../session-store/store.ts'
import type { StoreTime, Unavailable } from './flight.ts'

export interface RenewalLockOptions {
  store: Pick<SessionStore, 'lock' | 'changed'>
  clock: Clock
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
}

/** A renewal that one process at a time runs. `T` holds the token: a session, or the token itself. */
export interface RenewalTask<T> {
  /** Identifier of the lock. */
  lockId: string
  /** Reads the current holder from the store. Undefined: it is gone. */
  read(): Promise<T | undefined>
  /** Whether the token was already renewed, by another process. */
  isRenewed(current: T): boolean
  /** Counts the time spent in the store. */
  storeTime: StoreTime
  /** Called under the lock before a grant, until it returns true. */
  permit(): Promise<boolean>
  grant(current: T, lock: HeldLock): Promise<Attempt<T>>
}

/** What comes of a renewal. */
export type RenewalResult<T> =
  /** With a token that is newer than the one seen before, or still usable. */
  | { outcome: 'obtained'; value: T }
  | Unavailable
  /** A grant was not permitted. */
  | { outcome: 'not-permitted' }
  /** There will be no further token. */
  | { outcome: 'ended'; tokenError?: string }
  /** What held the token is not in the store any more. */
  | { outcome: 'gone' }

/** What comes of one grant. */
export type Attempt<T> =
  | RenewalResult<T>
  /** All processes back off. */
  | { outcome: 'failed'; retryInMs: number }
  /** The lock has to be taken again. */
  | { outcome: 'retry' }

/** The lock of the process that runs a grant. */
export interface HeldLock {
  /** Number of consecutive failures of earlier holders. */
  failures: number
  /** Whether the lock has expired, so that another process may hold it. */
  hasExpired(): boolean
  /** Extends the lock if more than half of its time is over: the tokens of a grant must still be stored. */
  extend(): Promise<void>
}

/** How often a waiter checks again, in case a change notification is lost. */
const recheckMs = 500

/**
 * Runs grants one at a time over all processes that share a store.
 * @throws StoreUnavailableError
 */
export function createRenewalLock({ store, clock, issuerTimeoutMs }: RenewalLockOptions) {
  // Longer than the longest grant, so it needs no heartbeat. A heartbeat would keep the lock of a process whose grant
  // hangs, and would stop anyway while the process is frozen.
  const lockMs = 3 * issuerTimeoutMs
  const longestGrantMs = 2.5 * issuerTimeoutMs

  return async function withRenewalLock<T>(task: RenewalTask<T>): Promise<RenewalResult<T>> {
    const { lockId, read, isRenewed, storeTime } = task
    let isPermitted = false
    const permit = async () => {
      // Also holds for a retry.
      isPermitted ||= await task.permit()
      return isPermitted
    }
    for (;;) {
      const waiting = new AbortController()
      try {
        // Subscribed before the lock is requested: otherwise its release could be missed.
        const change = store.changed(lockId, waiting.signal)
        const expiresAt = clock.monotonic() + lockMs
        const result = await storeTime.measure(() => store.lock(lockId, lockMs))
        if (result.outcome === 'acquired') {
          const attempt = await grantUnderLock({ ...task, permit }, result.lock, expiresAt)
          if (attempt.outcome === 'retry') continue
          return attempt.outcome === 'failed' ? { ...attempt, outcome: 'issuer-unavailable' } : attempt
        }
        const current = await storeTime.measure(read)
        if (current === undefined) return { outcome: 'gone' }
        if (isRenewed(current)) return { outcome: 'obtained', value: current }
        if (result.outcome === 'backing-off')
          return { outcome: 'issuer-unavailable', retryInMs: result.retryInMs }
        const nextCheck = () =>
          Promise.race([change, clock.sleep(Math.min(result.expiresInMs, recheckMs), waiting.signal)])
        await (result.outcome === 'recovering' ? storeTime.measure(nextCheck) : nextCheck())
      } finally {
        waiting.abort()
      }
    }
  }

  async function grantUnderLock<T>(task: RenewalTask<T>, lock: Lock, expiresAt: number): Promise<Attempt<T>> {
    let attempt: Attempt<T> | undefined
    try {
      attempt = await renewIfNeeded(task, lock, expiresAt)
      return attempt
    } finally {
      // If the release fails, the lock expires. Until then it blocks all renewals, like a back-off.
      const released = attempt?.outcome === 'failed' ? lock.backOff(attempt.retryInMs) : lock.release()
      await task.storeTime.measure(() => released).catch(() => {})
    }
  }

  async function renewIfNeeded<T>(
    { read, isRenewed, storeTime, permit, grant }: RenewalTask<T>,
    { failures, extend }: Lock,
    expiresAt: number,
  ): Promise<Attempt<T>> {
    // Read under the lock, never before: the last holder may have spent a refresh token that was read earlier.
    const current = await storeTime.measure(read)
    if (current === undefined) return { outcome: 'gone' }
    if (isRenewed(current)) return { outcome: 'obtained', value: current }
    if (!(await storeTime.measure(permit))) return { outcome: 'not-permitted' }
    // The process may have been frozen: no grant is started that might outlast the lock.
    if (expiresAt - clock.monotonic() < longestGrantMs) return { outcome: 'retry' }
    return grant(current, {
      failures,
      hasExpired: () => clock.monotonic() >= expiresAt,
      async extend() {
        const askedAt = clock.monotonic()
        if (expiresAt - askedAt > lockMs / 2) return
        if (await extend(lockMs).catch(() => false)) expiresAt = askedAt + lockMs
      },
    })
  }
}
