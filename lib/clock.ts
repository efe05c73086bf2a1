import { setTimeout as wait } from 'node:timers/promises'

/** Time as a parameter, so that tests and the simulation can wind it. */
export interface Clock {
  /** Milliseconds since the epoch, for what is compared with times that others set. */
  now(): number
  /** Milliseconds from an arbitrary start, never set back, for how long something took. */
  monotonic(): number
  /** Resolves after `ms`, or at once when `signal` aborts. Never keeps the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    wait(ms, undefined, { ref: false, ...(signal && { signal }) }).catch(() => {
      // Aborted: whoever slept looks at the signal or at what it waited for.
    }),
}

/** ISO 8601, or null where nobody knows. */
export function isoTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}

/** Whole ones, and none when `to` is past. */
export function secondsBetween(from: number, to: number): number {
  return Math.max(0, Math.floor((to - from) / 1000))
}
