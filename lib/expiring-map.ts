import { LRUCache } from 'lru-cache'
import type { Clock } from './clock.ts'

/** A bounded map whose entries run out of time by a given clock. The least recently used one makes room. */
export interface ExpiringMap<V extends object | string | number> {
  get(key: string): V | undefined
  set(key: string, value: V, ttlMs: number): void
  delete(key: string): void
  /** Milliseconds that an entry still has, 0 when there is none. */
  remainingMs(key: string): number
}

export interface ExpiringMapOptions<V> {
  clock: Clock
  maxEntries: number
  /**
   * An entry was deleted, ran out of time or, with time left, made room. Comes late for one that nobody asked for since.
   */
  onGone?: (value: V, key: string, madeRoom: boolean) => void
}

/** How often a write throws out what has run out of time but nobody asks for any more. */
const PURGE_EVERY_MS = 60_000

export function createExpiringMap<V extends object | string | number>({
  clock,
  maxEntries,
  onGone,
}: ExpiringMapOptions<V>): ExpiringMap<V> {
  const entries = new LRUCache<string, V>({
    max: maxEntries,
    // lru-cache takes an entry that was set at 0 for one without a time to live.
    perf: { now: () => clock.monotonic() + 1 },
    ttlResolution: 0,
    noDisposeOnSet: true,
    ...(onGone && {
      dispose: (value, key, reason) => onGone(value, key, reason === 'evict' && remainingMs(key) > 0),
    }),
  })
  let purgedAt = clock.monotonic()

  // lru-cache keeps an entry through its very last millisecond. Whoever slept until it lapses must find it gone.
  const remainingMs = (key: string) => Math.max(0, Math.ceil(entries.getRemainingTTL(key)))

  return {
    remainingMs,

    get(key) {
      if (remainingMs(key) > 0) return entries.get(key)
      entries.delete(key)
      return undefined
    },

    set(key, value, ttlMs) {
      if (clock.monotonic() - purgedAt >= PURGE_EVERY_MS) {
        purgedAt = clock.monotonic()
        entries.purgeStale()
      }
      entries.set(key, value, { ttl: Math.max(1, Math.ceil(ttlMs)) })
    },

    delete(key) {
      entries.delete(key)
    },
  }
}
