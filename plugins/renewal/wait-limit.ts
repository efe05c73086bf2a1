import { setImmediate as nextEventLoopTurn } from 'node:timers/promises'
import type { Clock } from '../../lib/clock.ts'
import type { Metrics } from '../observability/metrics.ts'
import { StoreUnavailableError } from '../session-store/store.ts'
import type { Progress } from './progress.ts'
import { issuerUnavailable } from './renewal-lock.ts'

export interface WaitLimitOptions {
  clock: Clock
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
  /** How long it waits for the store, in milliseconds. */
  storeTimeoutMs: number
  metrics: Pick<Metrics, 'renewalWaiters'>
}

/** Limits how long a request waits for a renewal. The renewal itself continues, and its tokens are stored. */
export function createWaitLimit({ clock, issuerTimeoutMs, storeTimeoutMs, metrics }: WaitLimitOptions) {
  /**
   * @param progress of the renewal
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE or StoreUnavailableError, depending on which exceeded its limit
   */
  return async function withinWaitLimit<T>(underWay: Promise<T>, progress: Progress): Promise<T> {
    const waiting = new AbortController()
    metrics.renewalWaiters(1)
    try {
      return await Promise.race([underWay, rejectWhenLate(waiting.signal, progress)])
    } finally {
      metrics.renewalWaiters(-1)
      waiting.abort()
    }
  }

  async function rejectWhenLate(signal: AbortSignal, progress: Progress): Promise<never> {
    const startedAt = clock.monotonic()
    for (;;) {
      const storeMs = progress.storeMs()
      const issuerLeftMs = issuerTimeoutMs - (clock.monotonic() - startedAt - storeMs)
      const storeLeftMs = storeTimeoutMs - storeMs
      if (issuerLeftMs <= 0 || storeLeftMs <= 0 || signal.aborted) {
        // After a stall Node runs timers before it reads a response that is already in the socket.
        await nextEventLoopTurn()
        await nextEventLoopTurn()
        throw storeLeftMs <= 0 ? storeTooLate() : issuerUnavailable(1000)
      }
      // The earliest time at which either limit can be reached.
      await clock.sleep(Math.max(minSleepMs, Math.min(issuerLeftMs, storeLeftMs)), signal)
    }
  }
}

/** Minimum time between two checks, for a request that waits for one while the other's limit is almost reached. */
const minSleepMs = 20

function storeTooLate(): StoreUnavailableError {
  return new StoreUnavailableError(new Error('The store did not answer in time during a renewal'))
}
