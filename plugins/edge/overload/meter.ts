/** Detects an overloaded event loop. */
export interface OverloadMeter {
  /** Call it every {@link tickMs}. */
  tick(): void
  isOverloaded(): boolean
  /** Delay of the event loop now or at its last tick, whichever is longer, in milliseconds. */
  latenessMs(): number
}

export interface OverloadMeterOptions {
  /** Monotonic time in milliseconds. */
  now(): number
  /** CPU time used by this process so far, in milliseconds. */
  cpuMs(): number
}

/** Interval of the measurements, in milliseconds. */
export const tickMs = 100

/** Longest acceptable delay, in milliseconds. */
const maxLatenessMs = 1000

/** Share of one CPU core from which on a delay counts as caused by the process's own work. */
const busyShare = 0.8

/**
 * The event loop counts as overloaded while it is late by more than a second. Only the current delay counts, no average:
 * after one tick on time, requests are accepted again.
 *
 * A process that was stopped or got no CPU is late too, but can work as soon as it runs. So a delay counts only if the
 * process was busy meanwhile, or if it is the second in a row.
 */
export function createOverloadMeter({ now, cpuMs }: OverloadMeterOptions): OverloadMeter {
  let tickedAt = now()
  let cpuAtTick = cpuMs()
  let lateAtTick = 0
  let wasOverloaded = false

  return {
    latenessMs: () => Math.max(lateNow(), lateAtTick),

    tick() {
      wasOverloaded = isLateAgainOrBusy()
      lateAtTick = lateNow()
      tickedAt = now()
      cpuAtTick = cpuMs()
    },

    // In a turn of the event loop requests may run before the tick, so a turn that was too long shows only here.
    isOverloaded: () => wasOverloaded || isLateAgainOrBusy(),
  }

  function lateNow(): number {
    return Math.max(0, now() - tickedAt - tickMs)
  }

  function isLateAgainOrBusy(): boolean {
    return lateNow() > maxLatenessMs && (lateAtTick > maxLatenessMs || isBusy())
  }

  function isBusy(): boolean {
    return cpuMs() - cpuAtTick >= busyShare * (now() - tickedAt)
  }
}
