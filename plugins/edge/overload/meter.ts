/** Tells whether the event loop has more to do than it can. */
export interface OverloadMeter {
  /** To be called every {@link tickMs}. */
  tick(): void
  isOverloaded(): boolean
  /** How late the event loop is, or was at its last tick, in milliseconds. */
  latenessMs(): number
}

export interface OverloadMeterOptions {
  /** Milliseconds, never set back. */
  now(): number
  /** The CPU time that this process has used so far, in milliseconds. */
  cpuMs(): number
}

/** How often the event loop has to show that it is on time, in milliseconds. */
export const tickMs = 100

/** Later than this is too late, in milliseconds. */
const maxLatenessMs = 1000

/** A process that had this share of a core while it was late has itself to blame. */
const busyShare = 0.8

/**
 * The event loop is overloaded while it is late by more than a second. It is so by what it is doing now, never by an
 * average: one tick on time, and requests are welcome again.
 *
 * A process that was stopped, or got no CPU, is late too, but can do its work as soon as it runs. So lateness counts if
 * the process was busy meanwhile, or if it is late a second time in a row.
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

    // Requests come before the tick in a turn of the event loop, so one that has lasted too long shows only here.
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
