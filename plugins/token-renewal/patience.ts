import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Metrics } from '../observability/metrics.ts'
import { issuerUnavailable } from './take-turns.ts'

export interface PatienceOptions {
  clock: Clock
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
  metrics: Pick<Metrics, 'renewalWaiters'>
}

/** A request waits no longer than this; what it waits for goes on, and its tokens are stored. */
export function createPatience({ clock, issuerTimeoutMs, metrics }: PatienceOptions) {
  /** @param tooLate says what it was that took too long */
  return async function inTime<T>(
    underWay: Promise<T>,
    tooLate: () => Error = () => issuerUnavailable(1000),
  ): Promise<T> {
    const waiting = new AbortController()
    metrics.renewalWaiters(1)
    try {
      return await Promise.race([underWay, late(waiting.signal, tooLate)])
    } finally {
      metrics.renewalWaiters(-1)
      waiting.abort()
    }
  }

  async function late(signal: AbortSignal, tooLate: () => Error): Promise<never> {
    await clock.sleep(issuerTimeoutMs, signal)
    // After a stall Node runs timers before it reads the answer that already lies in the socket.
    await turn()
    await turn()
    throw tooLate()
  }
}
