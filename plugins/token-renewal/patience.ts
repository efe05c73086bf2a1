import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Metrics } from '../observability/metrics.ts'
import { StoreUnavailableError } from '../session-store/store.ts'
import { causeOf, type Progress } from './progress.ts'
import { issuerUnavailable } from './take-turns.ts'

export interface PatienceOptions {
  clock: Clock
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
  metrics: Pick<Metrics, 'renewalWaiters'>
}

/** A request waits no longer than this; what it waits for goes on, and its tokens are stored. */
export function createPatience({ clock, issuerTimeoutMs, metrics }: PatienceOptions) {
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
    await clock.sleep(issuerTimeoutMs, signal)
    // After a stall Node runs timers before it reads the answer that already lies in the socket.
    await turn()
    await turn()
    throw causeOf(progress) === 'store' ? storeTooLate() : issuerUnavailable(1000)
  }
}

function storeTooLate(): StoreUnavailableError {
  return new StoreUnavailableError(new Error('The store kept a renewal waiting for too long'))
}
