import { setImmediate as turn } from 'node:timers/promises'

/** Time that jumps from one event to the next. Everything in a simulation is an event. */
export interface VirtualTime {
  /** Milliseconds since the simulation began. */
  now(): number
  /** Runs `event` in `ms`, after earlier ones due at the same time. @returns a function that cancels it */
  after(ms: number, event: () => void): () => void
  /** Runs all events. @returns false when there is no end of them */
  run(): Promise<boolean>
}

interface Due {
  at: number
  event: () => void
}

/** Promise reactions have run after one turn of the event loop; the renewer itself sometimes waits two turns. */
const turnsPerEvent = 3
/** Far more than any terminating simulation needs. */
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
