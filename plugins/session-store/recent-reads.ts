import { LRUCache } from 'lru-cache'
import type { StoredRecord } from './store.ts'

/**
 * Records that this process read from Redis a moment ago, so that a session's next request need not ask again.
 *
 * A record is used only while no change of it has been announced. The subscription to these announcements must be
 * healthy. A record is at most {@link MAX_AGE_MS} old, which bounds how long a logout elsewhere goes unnoticed.
 */
export interface RecentReads {
  peek(id: string): StoredRecord | undefined
  /** Call it before a read is sent. @returns to be called with what was found */
  begin(id: string): (found: StoredRecord | undefined) => void
  /** The record has changed, or may have. */
  forget(id: string): void
  /** Announcements may have been missed. */
  forgetAll(): void
}

export const MAX_AGE_MS = 2_000

/** Age from which a record that is used is read again, so that a session in steady use never waits for Redis. */
export const REFRESH_AFTER_MS = 1_000

/** Some 3 KB each. */
const MAX_RECORDS = 2_000

/** A read that was sent and is not answered. */
interface PendingRead {
  isOutdated: boolean
}

interface RecentRead {
  record: StoredRecord
  /** When the read was sent. */
  readAt: number
}

/**
 * @param isHealthy whether announcements of changes are known to arrive
 * @param refresh reads a record in the background
 * @param now monotonic milliseconds
 */
export function createRecentReads(
  isHealthy: () => boolean,
  refresh: (id: string) => void,
  now = () => performance.now(),
): RecentReads {
  const recent = new LRUCache<string, RecentRead>({ max: MAX_RECORDS })
  const pending = new Map<string, Set<PendingRead>>()

  return {
    peek(id) {
      const read = recent.get(id)
      if (read === undefined) return undefined
      const ageMs = now() - read.readAt
      if (ageMs < MAX_AGE_MS && ageMs < read.record.ttlMs && isHealthy()) {
        if (ageMs >= REFRESH_AFTER_MS && !pending.has(id)) refresh(id)
        return { ...read.record, ttlMs: read.record.ttlMs - ageMs }
      }
      recent.delete(id)
      return undefined
    },

    begin(id) {
      const readAt = now()
      const read = { isOutdated: false }
      const reads = pending.get(id) ?? new Set()
      pending.set(id, reads.add(read))
      return (found) => {
        reads.delete(read)
        if (reads.size === 0 && pending.get(id) === reads) pending.delete(id)
        // Redis may have answered before a change whose announcement has already arrived.
        if (read.isOutdated) return
        if (found) recent.set(id, { record: unpooled(found), readAt })
        else recent.delete(id)
      }
    },

    forget,

    forgetAll() {
      recent.clear()
      for (const id of [...pending.keys()]) forget(id)
    },
  }

  function forget(id: string): void {
    recent.delete(id)
    for (const read of pending.get(id) ?? []) read.isOutdated = true
    pending.delete(id)
  }
}

/** The sealed bytes may be a slice of a larger buffer, which they would keep alive. */
function unpooled({ sealed, ...record }: StoredRecord): StoredRecord {
  const copy = Buffer.allocUnsafeSlow(sealed.length)
  sealed.copy(copy)
  return { ...record, sealed: copy }
}
