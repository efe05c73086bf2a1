import { setImmediate as turn } from 'node:timers/promises'

/** Time that jumps from one event to the next. All that happens in a simulation is an event of it. */
export interface VirtualTime {
  /** Milliseconds since the simulation began. */
  now(): number
  /** Runs `event` in `ms`, after those that were due at the same time before. @returns what calls it off */
  after(ms: number, event: () => void): () => void
  /** Until nothing is left to happen. @returns false when events don't cease */
  run(): Promise<boolean>
}

interface Due {
  at: number
  event: () => void
}

/** What a promise leads to has run once the event loop has turned; the renewer itself waits two turns at times. */
const turnsPerEvent = 3
/** Far more than any simulation needs that comes to an end. */
const maxEvents = 5_000

export function createVirtualTime(): VirtualTime {
  const queue: Due[] = []
  let now = 0

  return {
    now: () => now,

    after(ms, event) {
      const due = { at: now + Math.max(0, ms), event }
      const later = queue.findIndex(({ at }) => at > due.at)
      queue.splice(later < 0 ? queue.length : later, 0, due)
      return () => {
        const place = queue.indexOf(due)
        if (place >= 0) queue.splice(place, 1)
      }
    },

    async run() {
      for (let events = 0; events < maxEvents; events++) {
        const due = queue.shift()
        if (!due) return true
        now = due.at
        due.event()
        for (let i = 0; i < turnsPerEvent; i++) await turn()
      }
      return false
    },
  }
}
