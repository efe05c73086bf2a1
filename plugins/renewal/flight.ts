import type { Clock } from '../../lib/clock.ts'
import { arrivedDataRead } from '../../lib/event-loop.ts'
import type { Span } from '../../lib/tracing.ts'
import { StoreUnavailableError } from '../session-store/store.ts'

/** A running task, and how long it has waited for the store so far. */
export interface Flight<T> {
  result: Promise<T>
  storeTime: StoreTime
  /** Its span, which those of waiting requests link to. */
  span?: Span
}

/** Runs one task per key at a time in this process; concurrent callers share its result. */
export interface SingleFlight<T> {
  run(key: string, task: (storeTime: StoreTime) => Promise<T>): Flight<T>
  /** The running task of this key, if any. */
  current(key: string): Flight<T> | undefined
  /** Resolves when no task is running. */
  idle(): Promise<void>
}

export function createSingleFlight<T>(clock: Pick<Clock, 'monotonic'>): SingleFlight<T> {
  const flights = new Map<string, Flight<T>>()

  return {
    run(key, task) {
      const underWay = flights.get(key)
      if (underWay) return underWay
      const storeTime = createStoreTime(clock)
      const flight = { result: task(storeTime).finally(() => flights.delete(key)), storeTime }
      flights.set(key, flight)
      return flight
    },

    current: (key) => flights.get(key),

    async idle() {
      while (flights.size > 0) await Promise.allSettled([...flights.values()].map(({ result }) => result))
    },
  }
}

/** Measures how much of a renewal's time is spent waiting for the store, for the wait limit of its requests. */
export interface StoreTime {
  /** Runs a store operation and counts its time. All other time counts as the issuer's. */
  measure<T>(operation: () => Promise<T>): Promise<T>
  /** From now on also counts the store time of `other`. */
  include(other: StoreTime): void
  /** Total store time so far, in milliseconds. */
  totalMs(): number
}

export function createStoreTime(clock: Pick<Clock, 'monotonic'>): StoreTime {
  let spentMs = 0
  let operationSince: number | undefined
  let included: { other: StoreTime; fromMs: number } | undefined

  return {
    async measure(operation) {
      const startedAt = clock.monotonic()
      operationSince = startedAt
      try {
        return await operation()
      } finally {
        spentMs += clock.monotonic() - startedAt
        operationSince = undefined
      }
    },

    include(other) {
      spentMs += includedMs()
      included = { other, fromMs: other.totalMs() }
    },

    totalMs() {
      const underWayMs = operationSince === undefined ? 0 : clock.monotonic() - operationSince
      return spentMs + underWayMs + includedMs()
    },
  }

  function includedMs(): number {
    return included ? included.other.totalMs() - included.fromMs : 0
  }
}

/** No token was obtained in time. The outcome says whether the issuer or the store was to blame. */
export type Unavailable =
  | { outcome: 'issuer-unavailable'; retryInMs: number }
  | { outcome: 'store-unavailable'; error: StoreUnavailableError }

export interface WaitLimitOptions {
  clock: Clock
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
  /** How long it waits for the store, in milliseconds. */
  storeTimeoutMs: number
  /** Counts waiting requests. */
  onWaiting: (change: 1 | -1) => void
}

/** Limits how long a request waits for a renewal. The renewal itself continues, and its tokens are stored. */
export function createWaitLimit({ clock, issuerTimeoutMs, storeTimeoutMs, onWaiting }: WaitLimitOptions) {
  /** @param storeTime of the renewal */
  return async function withinWaitLimit<T>(
    underWay: Promise<T>,
    storeTime: StoreTime,
  ): Promise<T | Unavailable> {
    const waiting = new AbortController()
    onWaiting(1)
    try {
      return await Promise.race([underWay, whenLate(waiting.signal, storeTime)])
    } finally {
      onWaiting(-1)
      waiting.abort()
    }
  }

  async function whenLate(signal: AbortSignal, storeTime: StoreTime): Promise<Unavailable> {
    const startedAt = clock.monotonic()
    for (;;) {
      const storeMs = storeTime.totalMs()
      const issuerLeftMs = issuerTimeoutMs - (clock.monotonic() - startedAt - storeMs)
      const storeLeftMs = storeTimeoutMs - storeMs
      if (issuerLeftMs <= 0 || storeLeftMs <= 0 || signal.aborted) {
        await arrivedDataRead()
        return storeLeftMs <= 0 ? storeTooLate() : { outcome: 'issuer-unavailable', retryInMs: 1000 }
      }
      // The earliest time at which either limit can be reached.
      await clock.sleep(Math.max(minSleepMs, Math.min(issuerLeftMs, storeLeftMs)), signal)
    }
  }
}

/**
 * Minimum time between two checks. Keeps the loop from spinning when, for example, the store limit is nearly used up
 * but the issuer is being waited for.
 */
const minSleepMs = 20

function storeTooLate(): Unavailable {
  const error = new StoreUnavailableError(new Error('The store did not answer in time during a renewal'))
  return { outcome: 'store-unavailable', error }
}
