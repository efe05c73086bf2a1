import { batches } from '../../lib/batches.ts'
import type { Clock } from '../../lib/clock.ts'
import type { RecentReads } from './recent-reads.ts'
import type { RedisCommands } from './redis-commands.ts'
import { PUT_BACK_WITHIN_MS, type RecentWrites, type RedisMasters } from './redis-failover.ts'
import { createRedisIndexes, readCreated } from './redis-indexes.ts'
import {
  endReasonKey,
  indexKey,
  markerKey,
  randomToken,
  recordKey,
  sessionKeys,
  wholeMs,
} from './redis-keys.ts'
import { scanRecords } from './redis-scan.ts'
import type { SealedRecord, SessionStore, StoredRecord } from './store.ts'

export interface RedisRecordsOptions {
  run: RedisCommands['run']
  writes: Pick<RecentWrites, 'note'>
  /**
   * Whether a put-back may create a missing session. Without replicas a missing session has ended; a promoted one may
   * lack it.
   */
  mayCreate: boolean
  masters: RedisMasters
  recent: RecentReads
  /** How long a caller waits for a Redis that doesn't answer, in milliseconds. */
  storeTimeoutMs: number
  clock: Pick<Clock, 'monotonic' | 'sleep'>
}

export type RedisRecords = Omit<SessionStore, 'lock' | 'changed' | 'ping' | 'count' | 'close'>

/** How long the end of a session is remembered, so that a late write can't restore it. */
const END_REMEMBERED_MS = 2 * PUT_BACK_WITHIN_MS

/** Number of sessions destroyed at the same time. */
const DESTROY_BATCH = 100

/** How often to check whether a session was put back. */
const RECHECK_MS = 100

/** Sessions and markers in Redis. Notes what it writes, so that it can be put back after a failover. */
export function createRedisRecords(options: RedisRecordsOptions): RedisRecords {
  const { run, writes, mayCreate, masters, recent, storeTimeoutMs, clock } = options
  const indexes = createRedisIndexes(run)

  return {
    async create(id, { sealed, ttlMs, indexes: names, profile }) {
      // Index entries first: a back-channel logout would miss a session without entries, while an entry without a
      // session is harmless.
      await indexes.enter(id, names, ttlMs)
      const fields = [sealed, wholeMs(ttlMs), JSON.stringify(names), profile ?? ''] as const
      await run((redis) => redis.bffCreate(...sessionKeys(id), ...fields))
      noteRecord(id, { sealed, version: 1, ttlMs }, names, profile)
    },

    async put(id, sealed, ttlMs) {
      await run((redis) => redis.bffPut(recordKey(id), sealed, wholeMs(ttlMs))).finally(() =>
        recent.forget(id),
      )
    },

    peek: recent.peek,

    async read(id) {
      const remember = recent.begin(id)
      const look = () => run((redis) => redis.bffReadBuffer(...sessionKeys(id)))
      const found = await retryUntilPutBack(id, look, (record) => record === null).catch((error: unknown) => {
        remember(undefined)
        throw error
      })
      if (!found?.length) {
        remember(undefined)
        return undefined
      }
      const [sealed, version, ttlMs] = found
      const record = { sealed, version, ttlMs }
      remember(record)
      return record
    },

    async replace(id, sealed, derivedFrom) {
      const write = () => run((redis) => redis.bffReplace(...sessionKeys(id), id, sealed, derivedFrom))
      const [version, ttlMs, names] = await retryUntilPutBack(
        id,
        write,
        ([outcome]) => outcome === -1,
      ).finally(() => recent.forget(id))
      if (version < 0) return { outcome: 'gone' }
      if (version === 0) return { outcome: 'conflict' }
      noteRecord(id, { sealed, version, ttlMs }, JSON.parse(names))
      return { outcome: 'replaced', version }
    },

    async touch(id, ttlMs) {
      const stored = await run((redis) => redis.hget(recordKey(id), 'indexes'))
      if (stored === null) return
      const names = JSON.parse(stored)
      await indexes.enter(id, names, ttlMs)
      const isAlive = await run((redis) => redis.pexpire(recordKey(id), wholeMs(ttlMs)))
      recent.forget(id)
      // The session ended meanwhile, and had left its indexes before it was added again.
      if (isAlive === 0) await indexes.leave(id, names)
    },

    destroy,

    async destroyBy(index, reason) {
      // Entries without a session stay until they expire: they may belong to a session that is being created.
      const destroyed = await destroyAll(await indexes.ids(index), reason)
      const leftMs = putBackWithinMs(indexKey(index))
      if (leftMs <= 0) return destroyed
      // Another gateway may still put back entries, too.
      await clock.sleep(leftMs)
      destroyed.push(...(await destroyAll(await indexes.ids(index), reason)))
      return destroyed
    },

    async endReason(id) {
      return (await run((redis) => redis.get(endReasonKey(id)))) ?? undefined
    },

    async trim(index, max, newest, reason) {
      const surplus = await indexes.surplus(index, max, newest)
      const destroyed = new Set(
        await destroyAll(
          surplus.map(({ id }) => id),
          reason,
        ),
      )
      return surplus.filter(({ id }) => destroyed.has(id))
    },

    list: indexes.list,

    async *listAll() {
      for await (const ids of scanRecords(run)) yield await indexes.living(ids)
    },

    async updateProfile(id, update) {
      let { profile } = readCreated(await run((redis) => redis.hgetBuffer(recordKey(id), 'created')))
      for (;;) {
        const [expected, next] = [profile ?? '', update(profile)] as const
        const another = await run((redis) => redis.bffUpdateProfileBuffer(recordKey(id), expected, next))
        if (another === null) return
        profile = another.length > 0 ? another : undefined
      }
    },

    async addMarker(name, ttlMs) {
      const owner = randomToken()
      const added = await run((redis) => redis.bffAddMarker(markerKey(name), owner, wholeMs(ttlMs)))
      if (added !== 1) return false
      writes.note(markerKey(name), async (redis, agedMs) => {
        if (agedMs < ttlMs) await redis.bffAddMarker(markerKey(name), owner, wholeMs(ttlMs - agedMs))
      })
      return true
    },

    markerTtlMs: async (name) => Math.max(0, await run((redis) => redis.pttl(markerKey(name)))),
  }

  async function destroy(id: string, onlyVersion?: number, reason = ''): Promise<SealedRecord | undefined> {
    const by = randomToken()
    const end = () =>
      run((redis) =>
        redis.bffDestroyBuffer(...endKeys(id), id, onlyVersion ?? '', by, END_REMEMBERED_MS, reason),
      )
    const destroyed = await retryUntilPutBack(id, end, (found) => found === null).finally(() =>
      recent.forget(id),
    )
    if (!destroyed?.length) return undefined
    const [sealed, version, indexed] = destroyed
    const names: string[] = JSON.parse(indexed.toString())
    writes.note(recordKey(id), async (redis) => {
      await redis.bffEndAgain(...endKeys(id), id, END_REMEMBERED_MS, reason)
      await indexes.leaveOn(redis, id, names)
    })
    await indexes.leave(id, names)
    return { sealed, version }
  }

  /**
   * The profile is put back with a new session only: after a renewal the next use of the session stores it again.
   */
  function noteRecord(
    id: string,
    { sealed, version, ttlMs }: StoredRecord,
    names: string[],
    profile: Buffer | '' = '',
  ): void {
    writes.note(recordKey(id), async (redis, agedMs) => {
      const leftMs = ttlMs - agedMs
      if (leftMs <= 0) return
      if (mayCreate) await indexes.enterOn(redis, id, names, leftMs)
      const fields = [sealed, version, wholeMs(leftMs), JSON.stringify(names)] as const
      await redis.bffPutBack(...sessionKeys(id), id, ...fields, mayCreate ? '1' : '', profile)
    })
  }

  /**
   * Retries while another gateway may put back the session: a new master may have lost a session that neither exists
   * there nor is remembered as ended.
   */
  async function retryUntilPutBack<T>(
    id: string,
    look: () => Promise<T>,
    isMissing: (found: T) => boolean,
  ): Promise<T> {
    const giveUpAt = clock.monotonic() + storeTimeoutMs
    for (;;) {
      const found = await look()
      const leftMs = isMissing(found)
        ? Math.min(putBackWithinMs(recordKey(id)), giveUpAt - clock.monotonic())
        : 0
      if (leftMs <= 0) return found
      await clock.sleep(Math.min(leftMs, RECHECK_MS))
    }
  }

  /** Remaining time in which other gateways may put back writes to this key. */
  function putBackWithinMs(key: string): number {
    return mayCreate ? Math.min(masters.headStartMs(key), storeTimeoutMs) : 0
  }

  /** @returns identifiers of the sessions that existed */
  async function destroyAll(ids: string[], reason?: string): Promise<string[]> {
    const destroyed: string[] = []
    for (const batch of batches(ids, DESTROY_BATCH)) {
      const records = await Promise.all(batch.map((id) => destroy(id, undefined, reason)))
      destroyed.push(...batch.filter((_id, at) => records[at] !== undefined))
    }
    return destroyed
  }
}

function endKeys(id: string): [record: string, ended: string, endReason: string] {
  return [...sessionKeys(id), endReasonKey(id)]
}
