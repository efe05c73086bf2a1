import type { Clock } from '../../lib/clock.ts'
import { createProgress, type Progress } from './progress.ts'

/** A running task. */
export interface Flight<T> {
  result: Promise<T>
  progress: Progress
}

/** Runs one task per key at a time in this process; concurrent callers share its result. */
export interface SingleFlight<T> {
  run(key: string, task: (progress: Progress) => Promise<T>): Flight<T>
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
      const progress = createProgress(clock)
      const flight = { result: task(progress).finally(() => flights.delete(key)), progress }
      flights.set(key, flight)
      return flight
    },

    current: (key) => flights.get(key),

    async idle() {
      while (flights.size > 0) await Promise.allSettled([...flights.values()].map(({ result }) => result))
    },
  }
}
