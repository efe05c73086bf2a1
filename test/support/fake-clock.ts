import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../lib/clock.ts'

export interface FakeClock extends Clock {
  /**
   * Moves the time on by `ms`. Sleepers that are due wake in order, each at its own time, and run
   * before the next one wakes: await it when there are sleepers. Without due sleepers it is done at once.
   */
  advance(ms: number): Promise<void>
  /** Number of sleepers. */
  readonly sleeping: number
}

interface Sleeper {
  wakesAt: number
  wake(): void
}

/** A clock that moves only by `advance`. */
export function createFakeClock(start = Date.UTC(2026, 0, 1)): FakeClock {
  let elapsed = 0
  const sleepers = new Set<Sleeper>()

  return {
    now: () => start + elapsed,
    monotonic: () => elapsed,

    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (ms <= 0 || signal?.aborted) return resolve()

        const sleeper = {
          wakesAt: elapsed + ms,
          wake() {
            sleepers.delete(sleeper)
            signal?.removeEventListener('abort', sleeper.wake)
            resolve()
          },
        }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', sleeper.wake)
      }),

    async advance(ms) {
      const until = elapsed + ms
      for (let next = firstDue(until); next; next = firstDue(until)) {
        elapsed = Math.max(elapsed, next.wakesAt)
        next.wake()
        await turn()
      }
      elapsed = Math.max(elapsed, until)
    },

    get sleeping() {
      return sleepers.size
    },
  }

  function firstDue(until: number): Sleeper | undefined {
    return [...sleepers].filter(({ wakesAt }) => wakesAt <= until).sort((a, b) => a.wakesAt - b.wakesAt)[0]
  }
}
