import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { Lock, SessionStore } from '../session-store/store.ts'
import { atStore, type Progress } from './progress.ts'

export interface TurnOptions {
  store: Pick<SessionStore, 'lock' | 'changed'>
  clock: Clock
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
}

/** What is renewed by one process at a time, and how. */
export interface Renewable<T> {
  /** Whose lock it takes. */
  id: string
  /** As it is stored now. */
  read(): Promise<T>
  /** Whether what was read is as good as a grant: somebody else's, since. */
  isRenewed(current: T): boolean
  /** Is told what a caller waits for. */
  progress: Progress
  /** Asked under the lock, when a grant is all that helps. */
  permit(): Promise<boolean>
  grant(current: T, holder: Holder): Promise<Attempt<T>>
}

/** What a process holds while it renews. */
export interface Holder {
  /** How many holders in a row have failed before. */
  failures: number
  /** Whether another may hold the lock by now. */
  hasLapsed(): boolean
  /** Makes the lock last longer, if much of its time is up: for what a grant has brought and must still be stored. */
  keep(): Promise<void>
}

export type Attempt<T> =
  | { outcome: 'renewed'; value: T }
  /** The issuer, for all who share the lock. */
  | { outcome: 'failed'; retryInMs: number }
  /** The issuer works, but refuses this one thing. Nobody else has to wait for that. */
  | { outcome: 'declined'; retryInMs: number }
  | { outcome: 'forbidden' }
  | { outcome: 'again' }

/** A waiter looks again this often, should the news of a change get lost. */
const lookAgainMs = 500

/**
 * Runs grants one at a time over all processes that share a store.
 *
 * @returns what is renewed, or nothing when there is nothing newer and a grant was not permitted
 * @throws GatewayError BFF_ISSUER_UNAVAILABLE, with the time that is left of the back-off
 * @throws StoreUnavailableError
 */
export function createTurns({ store, clock, issuerTimeoutMs }: TurnOptions) {
  // Longer than the longest grant, so it needs no heartbeat: one would keep the lock of a holder whose event loop is
  // alive but whose grant hangs, and would stop while the process is frozen anyway.
  const lockMs = 3 * issuerTimeoutMs
  const longestGrantMs = 2.5 * issuerTimeoutMs

  return async function takeTurns<T>(renewable: Renewable<T>): Promise<T | undefined> {
    for (;;) {
      const waiting = new AbortController()
      try {
        // Before the lock is asked for, or its release could go unheard.
        const change = store.changed(renewable.id, waiting.signal)
        const lapsesAt = clock.monotonic() + lockMs
        const result = await atStore(renewable.progress, () => store.lock(renewable.id, lockMs))
        if (result.outcome === 'acquired') {
          const attempt = await underLock(renewable, result.lock, lapsesAt)
          if (attempt.outcome === 'again') continue
          if ('retryInMs' in attempt) throw issuerUnavailable(attempt.retryInMs)
          return attempt.outcome === 'renewed' ? attempt.value : undefined
        }
        const current = await atStore(renewable.progress, renewable.read)
        if (renewable.isRenewed(current)) return current
        if (result.outcome === 'backing-off') throw issuerUnavailable(result.retryInMs)
        const nextLook = () =>
          Promise.race([change, clock.sleep(Math.min(result.lapsesInMs, lookAgainMs), waiting.signal)])
        await (result.outcome === 'recovering' ? atStore(renewable.progress, nextLook) : nextLook())
      } finally {
        waiting.abort()
      }
    }
  }

  async function underLock<T>(renewable: Renewable<T>, lock: Lock, lapsesAt: number): Promise<Attempt<T>> {
    let attempt: Attempt<T> | undefined
    try {
      attempt = await renewOrNot(renewable, lock, lapsesAt)
      return attempt
    } finally {
      // A lock that can't be given back lapses. Until then it keeps everybody away, as the back-off would have.
      const givenBack = attempt?.outcome === 'failed' ? lock.backOff(attempt.retryInMs) : lock.release()
      await atStore(renewable.progress, () => givenBack).catch(() => {})
    }
  }

  async function renewOrNot<T>(
    { read, isRenewed, progress, permit, grant }: Renewable<T>,
    { failures, extend }: Lock,
    lapsesAt: number,
  ): Promise<Attempt<T>> {
    // Read under the lock, never before: what was seen earlier may have been spent by the last holder.
    const current = await atStore(progress, read)
    if (isRenewed(current)) return { outcome: 'renewed', value: current }
    if (!(await atStore(progress, permit))) return { outcome: 'forbidden' }
    // This process may have been frozen: a grant that no longer fits under the lock is not begun.
    if (lapsesAt - clock.monotonic() < longestGrantMs) return { outcome: 'again' }
    return grant(current, {
      failures,
      hasLapsed: () => clock.monotonic() >= lapsesAt,
      async keep() {
        const askedAt = clock.monotonic()
        if (lapsesAt - askedAt > lockMs / 2) return
        if (await extend(lockMs).catch(() => false)) lapsesAt = askedAt + lockMs
      },
    })
  }
}

/** Not now, but later: the session stays. */
export function issuerUnavailable(retryAfterMs: number): GatewayError {
  return new GatewayError('BFF_ISSUER_UNAVAILABLE', { retryAfterMs })
}
