import type { Clock } from './clock.ts'
import { createExpiringMap } from './expiring-map.ts'

/** Counts what clients do wrong, for a minute from the first time. In this process only. */
export interface Tally {
  count(client: string): void
  /** Milliseconds until the client may go on; 0 while it may. */
  waitMs(client: string): number
}

const windowMs = 60_000
/** The least recently counted client makes room: whoever has so many addresses is not stopped by counting them. */
const maxClients = 10_000

export function createTally(clock: Clock, perMinute: number): Tally {
  const counts = createExpiringMap<{ times: number }>({ clock, maxEntries: maxClients })
  return {
    count(client) {
      const counted = counts.get(client)
      if (counted) counted.times++
      else counts.set(client, { times: 1 }, windowMs)
    },
    waitMs: (client) => ((counts.get(client)?.times ?? 0) < perMinute ? 0 : counts.remainingMs(client)),
  }
}
