import { LRUCache } from 'lru-cache'
import type { Clock } from './clock.ts'

/** A bounded map whose entries expire by a given clock. When full, it evicts the least recently used entry. */
export interface ExpiringMap<V extends object | string | number> {
  get(key: string): V | undefined
  /** The same, but does not count as a use. */
  peek(key: string): V | undefined
  /** May include entries that have expired. */
  keys(): string[]
  set(key: string, value: V, ttlMs: number): void
  delete(key: string): void
  /** Remaining lifetime of an entry in milliseconds, 0 if there is none. */
  remainingMs(key: string): number
  /** Number of entries that have not expired. */
  size(): number
}

export interface ExpiringMapOptions<V> {
  clock: Clock
  maxEntries: number
  /**
   * Called when an entry was deleted, expired, or was evicted before its time. For an expired entry the call comes with
   * the next access or purge.
   */
  onGone?: (value: V, key: string, wasEvicted: boolean) => void
}

/** Minimum interval between purges of expired entries, in milliseconds. Writes trigger them. */
const PURGE_EVERY_MS = 60_000

export function createExpiringMap<V extends object | string | number>({
  clock,
  maxEntries,
  onGone,
}: ExpiringMapOptions<V>): ExpiringMap<V> {
  const entries = new LRUCache<string, V>({
    max: maxEntries,
    // lru-cache treats an entry that was set at time 0 as one without a lifetime.
    perf: { now: () => clock.monotonic() + 1 },
    ttlResolution: 0,
    noDisposeOnSet: true,
    ...(onGone && {
      dispose: (value, key, reason) => onGone(value, key, reason === 'evict' && remainingMs(key) > 0),
    }),
  })
  let purgedAt = clock.monotonic()

  // lru-cache keeps an entry through its last millisecond. After sleeping `remainingMs`, it must be gone.
  const remainingMs = (key: string) => Math.max(0, Math.ceil(entries.getRemainingTTL(key)))

  return {
    remainingMs,

    get(key) {
      if (remainingMs(key) > 0) return entries.get(key)
      entries.delete(key)
      return undefined
    },

    peek: (key) => (remainingMs(key) > 0 ? entries.peek(key, { allowStale: true }) : undefined),

    keys: () => [...entries.keys()],

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

    size() {
      entries.purgeStale()
      return entries.size
    },
  }
}
