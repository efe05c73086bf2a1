import type { Clock } from './clock.ts'
import { createExpiringMap } from './expiring-map.ts'

/** Counts failures per client, for a minute from the first one. In this process only. */
export interface Tally {
  count(client: string): void
  /** Milliseconds until the client is allowed again; 0 if it is allowed now. */
  waitMs(client: string): number
}

const windowMs = 60_000
/**
 * Beyond this, the least recently counted client is evicted. An attacker with more addresses than this can't be limited
 * this way.
 */
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
