import { batches } from '../../lib/batches.ts'
import type { Clock } from '../../lib/clock.ts'
import { createExpiringMap } from '../../lib/expiring-map.ts'
import { createChangeNotifier } from './change-notifier.ts'
import type { ListedSession, Lock, SealedRecord, SessionStore, StoredRecord } from './store.ts'

export interface MemoryStoreOptions {
  clock: Clock
  /** Beyond this the least recently used session is evicted. Default 50,000. */
  maxSessions?: number
  /** Called when a session was evicted before it expired. */
  onEvicted?: () => void
}

interface MemoryRecord extends SealedRecord {
  indexes: string[]
  createdAt: number
  profile?: Buffer | undefined
}

/** Value of a lock during a back-off, in place of its owner. */
const BACKING_OFF = Symbol('backing off')

/** As in Redis: consecutive failures are forgotten a minute after the last back-off has ended. */
const FAILURES_OUTLIVE_BACK_OFF_MS = 60_000

const END_REMEMBERED_MS = 120_000
/** The remaining lifetime of an evicted session is unknown. */
const EVICTION_REMEMBERED_MS = 24 * 3_600_000

/** Batch size of `listAll`. */
const AT_A_TIME = 500

/** Sessions in the memory of this process, lost when it ends. Memory use is bounded. */
export function createMemoryStore(options: MemoryStoreOptions): SessionStore {
  const { clock, maxSessions = 50_000, onEvicted } = options
  const bounds = { clock, maxEntries: maxSessions }
  const indexes = new Map<string, Set<string>>()
  const records = createExpiringMap<MemoryRecord>({ ...bounds, onGone: leaveIndexes })
  /** Apart from the sessions, of which anonymous requests must not evict any. */
  const shared = createExpiringMap<Pick<StoredRecord, 'sealed' | 'version'>>({ clock, maxEntries: 2000 })
  const endings = createExpiringMap<{ ended: true }>(bounds)
  const endReasons = createExpiringMap<string>(bounds)
  const locks = createExpiringMap<{ owner: symbol }>(bounds)
  const failures = createExpiringMap<number>(bounds)
  const markers = createExpiringMap<{ isSet: true }>(bounds)
  const changes = createChangeNotifier()

  return {
    async create(id, { sealed, ttlMs, indexes: names, profile }) {
      if (records.get(id) || endings.get(id)) return
      records.set(id, { sealed, version: 1, indexes: names, createdAt: clock.now(), profile }, ttlMs)
      for (const name of names) indexes.set(name, (indexes.get(name) ?? new Set()).add(id))
    },

    async put(id, sealed, ttlMs) {
      shared.set(id, { sealed, version: 1 }, ttlMs)
    },

    read: async (id) => peek(id),

    peek,

    async replace(id, sealed, derivedFrom) {
      const record = records.get(id)
      if (!record) return { outcome: 'gone' }
      if (record.version <= derivedFrom) {
        record.sealed = sealed
        record.version = derivedFrom + 1
        changes.notify(id)
        return { outcome: 'replaced', version: record.version }
      }
      const mineAlready = record.version === derivedFrom + 1 && record.sealed.equals(sealed)
      return mineAlready ? { outcome: 'replaced', version: record.version } : { outcome: 'conflict' }
    },

    async touch(id, ttlMs) {
      const record = records.get(id)
      if (record) records.set(id, record, ttlMs)
    },

    async destroy(id, onlyVersion, reason) {
      return destroy(id, reason, onlyVersion)
    },

    async destroyBy(index, reason) {
      const ids = [...(indexes.get(index) ?? [])]
      return ids.filter((id) => destroy(id, reason) !== undefined)
    },

    endReason: async (id) => endReasons.get(id),

    async trim(index, max, newest, reason) {
      const living = list(indexes.get(index) ?? [])
      const oldest = living.slice(0, Math.max(0, living.length - max)).filter(({ id }) => id !== newest)
      for (const { id } of oldest) destroy(id, reason)
      return oldest
    },

    list: async (index) => list(indexes.get(index) ?? []),

    async *listAll() {
      const ids = records.keys()
      for (const some of batches(ids, AT_A_TIME)) yield list(some)
    },

    async updateProfile(id, update) {
      const record = records.peek(id)
      if (record) record.profile = update(record.profile)
    },

    async lock(id, ttlMs) {
      const held = locks.get(id)
      if (held?.owner === BACKING_OFF) return { outcome: 'backing-off', retryInMs: locks.remainingMs(id) }
      if (held) return { outcome: 'held', expiresInMs: locks.remainingMs(id) }

      const owner = Symbol('owner')
      locks.set(id, { owner }, ttlMs)
      return { outcome: 'acquired', lock: lockOf(id, owner) }
    },

    changed: (id, signal) => changes.wait(id, signal),

    async addMarker(name, ttlMs) {
      if (markers.get(name)) return false
      markers.set(name, { isSet: true }, ttlMs)
      return true
    },

    markerTtlMs: async (name) => markers.remainingMs(name),

    async ping() {},

    count: () => records.size(),

    async close() {
      changes.notifyAll()
    },
  }

  function peek(id: string): StoredRecord | undefined {
    const own = records.get(id)
    const record = own ?? shared.get(id)
    const map = own ? records : shared
    return record && { sealed: record.sealed, version: record.version, ttlMs: map.remainingMs(id) }
  }

  /** @param ids in order of creation */
  function list(ids: Iterable<string>): ListedSession[] {
    return [...ids].flatMap((id) => {
      const record = records.peek(id)
      return record ? { id, createdAt: record.createdAt, profile: record.profile } : []
    })
  }

  function destroy(id: string, reason?: string, onlyVersion?: number): SealedRecord | undefined {
    const record = records.get(id)
    if (!record || (onlyVersion ?? record.version) !== record.version) return undefined
    const leftMs = records.remainingMs(id)
    records.delete(id)
    endings.set(id, { ended: true }, END_REMEMBERED_MS)
    if (reason !== undefined) endReasons.set(id, reason, Math.max(END_REMEMBERED_MS, leftMs))
    changes.notify(id)
    return { sealed: record.sealed, version: record.version }
  }

  function lockOf(id: string, owner: symbol): Lock {
    return {
      failures: failures.get(id) ?? 0,

      async release() {
        if (locks.get(id)?.owner !== owner) return
        locks.delete(id)
        failures.delete(id)
        changes.notify(id)
      },

      async extend(ms) {
        const held = locks.get(id)
        if (held && held.owner !== owner) return false
        locks.set(id, { owner }, ms)
        return true
      },

      async backOff(ms) {
        if (locks.get(id)?.owner !== owner) return
        locks.set(id, { owner: BACKING_OFF }, ms)
        failures.set(id, (failures.get(id) ?? 0) + 1, ms + FAILURES_OUTLIVE_BACK_OFF_MS)
        changes.notify(id)
      },
    }
  }

  function leaveIndexes(record: MemoryRecord, id: string, madeRoom: boolean): void {
    if (madeRoom) {
      endReasons.set(id, 'evicted', EVICTION_REMEMBERED_MS)
      onEvicted?.()
    }
    for (const name of record.indexes) {
      const ids = indexes.get(name)
      ids?.delete(id)
      if (ids?.size === 0) indexes.delete(name)
    }
  }
}
