import { batches } from '../../lib/batches.ts'
import type { RedisClient } from './redis-client.ts'
import { indexKey, recordKey, wholeMs } from './redis-keys.ts'
import { CREATED_LENGTH } from './redis-scripts.ts'
import type { ListedSession } from './store.ts'

/**
 * Indexes of sessions by user or `sid`. On a Cluster they are in other slots than the records: no script can access
 * both.
 */
export interface RedisIndexes {
  /** Adds a session, or extends its entries. */
  enter(id: string, names: string[], ttlMs: number): Promise<void>
  /** Removes a session. Never fails: remaining entries expire. */
  leave(id: string, names: string[]): Promise<void>
  /** The same on a connection that has just been restored, before others may use it. */
  enterOn(redis: RedisClient, id: string, names: string[], ttlMs: number): Promise<unknown>
  leaveOn(redis: RedisClient, id: string, names: string[]): Promise<unknown>
  ids(name: string): Promise<string[]>
  /** The oldest first. */
  list(name: string): Promise<ListedSession[]>
  /** The sessions among these records, the oldest first. */
  living(ids: string[]): Promise<ListedSession[]>
  /** The oldest sessions that exceed the limit since `newest` was created. */
  surplus(name: string, max: number, newest: string): Promise<ListedSession[]>
}

/** An entry lives a little longer than its session, whose record is written slightly later. */
const ENTRY_OUTLIVES_RECORD_MS = 60_000

/** Batch size for reading records: a program that logs in for each call may have left thousands. */
const AT_A_TIME = 500

export function createRedisIndexes(
  run: <T>(command: (redis: RedisClient) => Promise<T>) => Promise<T>,
): RedisIndexes {
  return {
    async enter(id, names, ttlMs) {
      await run((redis) => enterOn(redis, id, names, ttlMs))
    },

    async leave(id, names) {
      await Promise.allSettled(names.map((name) => run((redis) => redis.bffLeaveIndex(indexKey(name), id))))
    },

    enterOn,

    leaveOn: (redis, id, names) =>
      Promise.allSettled(names.map((name) => redis.bffLeaveIndex(indexKey(name), id))),

    ids,

    list: async (name) => living(await ids(name)),

    living,

    async surplus(name, max, newest) {
      const all = await ids(name)
      if (all.length <= max) return []
      const sessions = await living(all)
      const oldest = sessions.slice(0, Math.max(0, sessions.length - max))
      // Of two created at once, the creation of the newer one ends the older.
      return oldest.filter(({ id }) => id !== newest)
    },
  }

  async function living(ids: string[]): Promise<ListedSession[]> {
    const found: { created: number; session: ListedSession }[] = []
    for (const some of batches(ids, AT_A_TIME)) {
      const records = await run((redis) =>
        Promise.all(some.map((id) => redis.hmgetBuffer(recordKey(id), 'indexes', 'created'))),
      )
      for (const [at, [indexes, createdAndProfile]] of records.entries()) {
        // No record: the session is being created, or has ended. No indexes: the record is no session.
        if (!indexes || indexes.length <= '[]'.length) continue
        const { created, profile } = readCreated(createdAndProfile)
        const createdAt = created > 0 ? Math.floor(created / 1000) : undefined
        const session = { id: some[at] ?? '', createdAt, profile }
        found.push({ created, session })
      }
    }
    found.sort((a, b) => a.created - b.created || (a.session.id < b.session.id ? -1 : 1))
    return found.map(({ session }) => session)
  }

  function enterOn(redis: RedisClient, id: string, names: string[], ttlMs: number): Promise<unknown> {
    const entryTtlMs = wholeMs(ttlMs + Math.min(ENTRY_OUTLIVES_RECORD_MS, ttlMs / 10))
    return Promise.all(names.map((name) => redis.bffEnterIndex(indexKey(name), id, entryTtlMs)))
  }

  async function ids(name: string): Promise<string[]> {
    return run((redis) => redis.zrange(indexKey(name), 0, '-1'))
  }
}

/** Reads the field `created` of a record. Records of earlier releases have none. @returns the time in microseconds */
export function readCreated(field: Buffer | null | undefined): {
  created: number
  profile: Buffer | undefined
} {
  if (!field) return { created: 0, profile: undefined }
  const created = Number(field.toString('latin1', 0, CREATED_LENGTH))
  return { created, profile: field.length > CREATED_LENGTH ? field.subarray(CREATED_LENGTH) : undefined }
}
