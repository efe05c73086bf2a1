import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { Lock, SessionStore } from '../session-store/store.ts'
import { atStore, type Progress } from './progress.ts'

export interface RenewalLockOptions {
  store: Pick<SessionStore, 'lock' | 'changed'>
  clock: Clock
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
}

/** A renewal that one process at a time runs. */
export interface RenewalTask<T> {
  /** Identifier of the lock. */
  id: string
  /** Reads the current value from the store. */
  read(): Promise<T>
  /** Whether the value was already renewed, by another process. */
  isRenewed(current: T): boolean
  /** Counts the time spent in the store. */
  progress: Progress
  /** Called under the lock before a grant. */
  permit(): Promise<boolean>
  grant(current: T, holder: LockHolder): Promise<Attempt<T>>
}

/** The process that holds the lock. */
export interface LockHolder {
  /** Number of consecutive failures of earlier holders. */
  failures: number
  /** Whether the lock has expired, so that another process may hold it. */
  hasLapsed(): boolean
  /** Extends the lock if more than half of its time is over: the tokens of a grant must still be stored. */
  extendLock(): Promise<void>
}

export type Attempt<T> =
  | { outcome: 'renewed'; value: T }
  /** The grant failed: all processes back off. */
  | { outcome: 'failed'; retryInMs: number }
  /** The issuer declines this request but works: no back-off for other renewals under this lock. */
  | { outcome: 'declined'; retryInMs: number }
  | { outcome: 'not-permitted' }
  | { outcome: 'retry' }

/** How often a waiter checks again, in case a change notification is lost. */
const recheckMs = 500

/**
 * Runs grants one at a time over all processes that share a store.
 *
 * @returns the renewed value, or undefined if there is none and a grant was not permitted
 * @throws GatewayError BFF_ISSUER_UNAVAILABLE, with the remaining back-off
 * @throws StoreUnavailableError
 */
export function createRenewalLock({ store, clock, issuerTimeoutMs }: RenewalLockOptions) {
  // Longer than the longest grant, so it needs no heartbeat. A heartbeat would keep the lock of a process whose grant
  // hangs, and would stop anyway while the process is frozen.
  const lockMs = 3 * issuerTimeoutMs
  const longestGrantMs = 2.5 * issuerTimeoutMs

  return async function withRenewalLock<T>(task: RenewalTask<T>): Promise<T | undefined> {
    for (;;) {
      const waiting = new AbortController()
      try {
        // Subscribed before the lock is requested: otherwise its release could be missed.
        const change = store.changed(task.id, waiting.signal)
        const lapsesAt = clock.monotonic() + lockMs
        const result = await atStore(task.progress, () => store.lock(task.id, lockMs))
        if (result.outcome === 'acquired') {
          const attempt = await grantUnderLock(task, result.lock, lapsesAt)
          if (attempt.outcome === 'retry') continue
          if ('retryInMs' in attempt) throw issuerUnavailable(attempt.retryInMs)
          return attempt.outcome === 'renewed' ? attempt.value : undefined
        }
        const current = await atStore(task.progress, task.read)
        if (task.isRenewed(current)) return current
        if (result.outcome === 'backing-off') throw issuerUnavailable(result.retryInMs)
        const nextCheck = () =>
          Promise.race([change, clock.sleep(Math.min(result.lapsesInMs, recheckMs), waiting.signal)])
        await (result.outcome === 'recovering' ? atStore(task.progress, nextCheck) : nextCheck())
      } finally {
        waiting.abort()
      }
    }
  }

  async function grantUnderLock<T>(task: RenewalTask<T>, lock: Lock, lapsesAt: number): Promise<Attempt<T>> {
    let attempt: Attempt<T> | undefined
    try {
      attempt = await renewIfNeeded(task, lock, lapsesAt)
      return attempt
    } finally {
      // If the release fails, the lock expires. Until then it blocks all renewals, like a back-off.
      const released = attempt?.outcome === 'failed' ? lock.backOff(attempt.retryInMs) : lock.release()
      await atStore(task.progress, () => released).catch(() => {})
    }
  }

  async function renewIfNeeded<T>(
    { read, isRenewed, progress, permit, grant }: RenewalTask<T>,
    { failures, extend }: Lock,
    lapsesAt: number,
  ): Promise<Attempt<T>> {
    // Read under the lock, never before: the last holder may have spent a refresh token that was read earlier.
    const current = await atStore(progress, read)
    if (isRenewed(current)) return { outcome: 'renewed', value: current }
    if (!(await atStore(progress, permit))) return { outcome: 'not-permitted' }
    // The process may have been frozen: no grant is started that might outlast the lock.
    if (lapsesAt - clock.monotonic() < longestGrantMs) return { outcome: 'retry' }
    return grant(current, {
      failures,
      hasLapsed: () => clock.monotonic() >= lapsesAt,
      async extendLock() {
        const askedAt = clock.monotonic()
        if (lapsesAt - askedAt > lockMs / 2) return
        if (await extend(lockMs).catch(() => false)) lapsesAt = askedAt + lockMs
      },
    })
  }
}

/** 503 with `Retry-After`. The session stays. */
export function issuerUnavailable(retryAfterMs: number): GatewayError {
  return new GatewayError('BFF_ISSUER_UNAVAILABLE', { retryAfterMs })
}
