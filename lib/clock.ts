import { setTimeout as wait } from 'node:timers/promises'

/** Time as a parameter, so that tests and the simulation can control it. */
export interface Clock {
  /** Milliseconds since the epoch, for comparison with times from other systems. */
  now(): number
  /** Monotonic milliseconds from an arbitrary start, for durations. */
  monotonic(): number
  /** Resolves after `ms`, or at once when `signal` aborts. Never keeps the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    wait(ms, undefined, { ref: false, ...(signal && { signal }) }).catch(() => {
      // Aborted: the caller checks the signal or the condition that it waited for.
    }),
}

/** ISO 8601, or null for an unknown time. */
export function isoTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}

/** Whole seconds, and 0 if `to` is before `from`. */
export function secondsBetween(from: number, to: number): number {
  return Math.max(0, Math.floor((to - from) / 1000))
}
