import type { RedisClient } from './redis-client.ts'
import { indexKey, recordKey, wholeMs } from './redis-keys.ts'

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
  /** The oldest sessions that exceed the limit since `newest` was created. */
  surplus(name: string, max: number, newest: string): Promise<string[]>
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

    async surplus(name, max, newest) {
      const all = await ids(name)
      if (all.length <= max) return []
      const living = await aged(all)
      living.sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1))
      const oldest = living.slice(0, Math.max(0, living.length - max)).map(({ id }) => id)
      // Of two created at once, the creation of the newer one ends the older.
      return oldest.filter((id) => id !== newest)
    },
  }

  async function aged(ids: string[]): Promise<{ id: string; created: number }[]> {
    const living: { id: string; created: number }[] = []
    for (let i = 0; i < ids.length; i += AT_A_TIME) {
      const some = ids.slice(i, i + AT_A_TIME)
      const records = await run((redis) =>
        Promise.all(some.map((id) => redis.hmget(recordKey(id), 'version', 'created'))),
      )
      for (const [at, [version, created]] of records.entries()) {
        // An entry without a record: the session is being created, or has ended.
        if (!version) continue
        // Records of earlier releases have no creation time.
        living.push({ id: some[at] ?? '', created: Number(created ?? 0) })
      }
    }
    return living
  }

  function enterOn(redis: RedisClient, id: string, names: string[], ttlMs: number): Promise<unknown> {
    const entryTtlMs = wholeMs(ttlMs + Math.min(ENTRY_OUTLIVES_RECORD_MS, ttlMs / 10))
    return Promise.all(names.map((name) => redis.bffEnterIndex(indexKey(name), id, entryTtlMs)))
  }

  async function ids(name: string): Promise<string[]> {
    return run((redis) => redis.zrange(indexKey(name), 0, '-1'))
  }
}
