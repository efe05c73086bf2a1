import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../lib/clock.ts'
import type { Metrics } from '../observability/metrics.ts'
import { StoreUnavailableError } from '../session-store/store.ts'
import type { Progress } from './progress.ts'
import { issuerUnavailable } from './take-turns.ts'

export interface PatienceOptions {
  clock: Clock
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
  /** How long it waits for the store, in milliseconds. */
  storeTimeoutMs: number
  metrics: Pick<Metrics, 'renewalWaiters'>
}

/** A request waits no longer than this; what it waits for goes on, and its tokens are stored. */
export function createPatience({ clock, issuerTimeoutMs, storeTimeoutMs, metrics }: PatienceOptions) {
  /**
   * @param progress of what is under way
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE or StoreUnavailableError, whichever kept the request waiting
   */
  return async function inTime<T>(underWay: Promise<T>, progress: Progress): Promise<T> {
    const waiting = new AbortController()
    metrics.renewalWaiters(1)
    try {
      return await Promise.race([underWay, late(waiting.signal, progress)])
    } finally {
      metrics.renewalWaiters(-1)
      waiting.abort()
    }
  }

  async function late(signal: AbortSignal, progress: Progress): Promise<never> {
    const startedAt = clock.monotonic()
    for (;;) {
      const storeMs = progress.storeMs()
      const issuerLeftMs = issuerTimeoutMs - (clock.monotonic() - startedAt - storeMs)
      const storeLeftMs = storeTimeoutMs - storeMs
      if (issuerLeftMs <= 0 || storeLeftMs <= 0 || signal.aborted) {
        // After a stall Node runs timers before it reads the answer that already lies in the socket.
        await turn()
        await turn()
        throw storeLeftMs <= 0 ? storeTooLate() : issuerUnavailable(1000)
      }
      // The soonest that either can be over.
      await clock.sleep(Math.max(soonestMs, Math.min(issuerLeftMs, storeLeftMs)), signal)
    }
  }
}

/** A request that waits for the one while the time for the other is nearly over looks this often, in milliseconds. */
const soonestMs = 20

function storeTooLate(): StoreUnavailableError {
  return new StoreUnavailableError(new Error('The store kept a renewal waiting for too long'))
}
