import { randomBytes } from 'node:crypto'
import { createChangeNotifier } from './change-notifier.ts'
import type { RedisClient } from './redis-client.ts'
import type { RedisConnection } from './redis-connection.ts'
import { CHANGED_CHANNEL } from './redis-scripts.ts'
import {
  type Lock,
  type NewRecord,
  type SealedRecord,
  type SessionStore,
  StoreUnavailableError,
} from './store.ts'

export interface RedisStoreOptions {
  /** Closed with the store. */
  connection: RedisConnection
}

/** Failures in a row are forgotten a minute after the last back-off has ended. */
const FAILURES_OUTLIVE_BACK_OFF_MS = 60_000

/**
 * Locks lapse during an outage, though their holders may have got tokens meanwhile that they could not store. After
 * it they come first, or a refresh token would be spent twice: for so long a gateway that knows of the outage is
 * given no lock. It is what two gateways' connections can be apart in coming back, and a holder's next try.
 */
const HEAD_START_MS = 3_000

const ENTRY_OUTLIVES_RECORD_MS = 60_000

/** How many sessions of an index are destroyed at a time. */
const DESTROY_BATCH = 100

/** Sessions in Redis, shared by all gateways that use it. Every key has a time to live. */
export function createRedisStore({ connection }: RedisStoreOptions): SessionStore {
  const changes = createChangeNotifier()
  /** Whether the last command failed. */
  let failing = false
  /** When the last outage ended. */
  let backSince = Number.NEGATIVE_INFINITY
  connection.subscribe(CHANGED_CHANNEL, {
    onMessage: (id) => changes.notify(id),
    onSubscribed: () => changes.notifyAll(),
  })

  return {
    async create(id, { sealed, ttlMs, indexes, limit }) {
      // Entries first: a session that is in no index would outlive a logout from outside, while an entry
      // without a session is harmless.
      const counts = await enterIndexes(id, indexes, ttlMs)
      await run((redis) => redis.bffCreate(recordKey(id), sealed, wholeMs(ttlMs), JSON.stringify(indexes)))
      const isFull = limit && (counts[indexes.indexOf(limit.index)] ?? 0) > limit.max
      // A session that could not be ended now is at the next login.
      return isFull ? makeRoom(id, limit).catch(() => []) : []
    },

    async read(id) {
      const found = await run((redis) => redis.bffReadBuffer(recordKey(id)))
      if (!found) return undefined
      const [sealed, version, ttlMs] = found
      return { sealed, version, ttlMs }
    },

    async replace(id, sealed, derivedFrom) {
      const version = await run((redis) => redis.bffReplace(recordKey(id), id, sealed, derivedFrom))
      if (version < 0) return { outcome: 'gone' }
      return version === 0 ? { outcome: 'conflict' } : { outcome: 'replaced', version }
    },

    async touch(id, ttlMs) {
      const stored = await run((redis) => redis.hget(recordKey(id), 'indexes'))
      if (stored === null) return
      const indexes = JSON.parse(stored)
      await enterIndexes(id, indexes, ttlMs)
      const isAlive = await run((redis) => redis.pexpire(recordKey(id), wholeMs(ttlMs)))
      // It has ended meanwhile, and left them before it was entered again.
      if (isAlive === 0) await leaveIndexes(id, indexes)
    },

    destroy,

    async destroyBy(index) {
      // Entries that had no session stay until they lapse: one may belong to a session that is just being created.
      return (await destroyAll(await idsIn(index))).length
    },

    async lock(id, ttlMs) {
      const owner = randomBytes(16).toString('base64url')
      if (failing) await run((redis) => redis.ping())
      const headStartMs = backSince + HEAD_START_MS - performance.now()
      if (headStartMs > 0) return { outcome: 'held', lapsesInMs: wholeMs(headStartMs) }
      const asked = run((redis) => redis.bffLock(...lockKeys(id), owner, wholeMs(ttlMs)))
      const [outcome, number] = await asked.catch((error) => {
        takeBack(id, owner)
        throw error
      })
      switch (outcome) {
        case 'acquired':
          return { outcome, lock: lockOf(id, owner, number) }
        case 'held':
          return { outcome, lapsesInMs: wholeMs(number) }
        case 'backing-off':
          return { outcome, retryInMs: wholeMs(number) }
      }
    },

    changed: (id, signal) => changes.wait(id, signal),

    async claim(name, ttlMs) {
      const answer = await run((redis) => redis.set(claimKey(name), '1', 'PX', wholeMs(ttlMs), 'NX'))
      return answer === 'OK'
    },

    claimLastsMs: async (name) => Math.max(0, await run((redis) => redis.pttl(claimKey(name)))),

    async ping() {
      await run((redis) => redis.ping())
    },

    async close() {
      await connection.close()
      changes.notifyAll()
    },
  }

  async function destroy(id: string, onlyVersion?: number): Promise<SealedRecord | undefined> {
    const destroyed = await run((redis) => redis.bffDestroyBuffer(recordKey(id), id, onlyVersion ?? ''))
    if (!destroyed) return undefined
    const [sealed, version, indexes] = destroyed
    await leaveIndexes(id, JSON.parse(indexes.toString()))
    return { sealed, version }
  }

  /** @returns those that there were */
  async function destroyAll(ids: string[]): Promise<string[]> {
    const destroyed: string[] = []
    for (let i = 0; i < ids.length; i += DESTROY_BATCH) {
      const batch = ids.slice(i, i + DESTROY_BATCH)
      const records = await Promise.all(batch.map((id) => destroy(id)))
      destroyed.push(...batch.filter((_id, at) => records[at] !== undefined))
    }
    return destroyed
  }

  /** Ends the oldest sessions in an index in which there are too many since `newest` was created. */
  async function makeRoom(
    newest: string,
    { index, max }: NonNullable<NewRecord['limit']>,
  ): Promise<string[]> {
    const ids = await idsIn(index)
    const ages = await run((redis) =>
      Promise.all(ids.map((id) => redis.hmget(recordKey(id), 'version', 'created'))),
    )
    // One that has an entry but no record is just being created, or gone. Earlier releases didn't note when.
    const living = ids.flatMap((id, at) => {
      const [version, created] = ages[at] ?? []
      return version ? [{ id, created: Number(created ?? 0) }] : []
    })
    living.sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1))
    const oldest = living.slice(0, Math.max(0, living.length - max)).map(({ id }) => id)
    return destroyAll(oldest.filter((id) => id !== newest))
  }

  async function idsIn(index: string): Promise<string[]> {
    return run((redis) => redis.zrange(indexKey(index), 0, '-1'))
  }

  /** An entry lasts a little longer than its session, whose record is written a little later. */
  async function enterIndexes(id: string, indexes: string[], ttlMs: number): Promise<number[]> {
    const entryTtlMs = wholeMs(ttlMs + Math.min(ENTRY_OUTLIVES_RECORD_MS, ttlMs / 10))
    return run((redis) =>
      Promise.all(indexes.map((name) => redis.bffEnterIndex(indexKey(name), id, entryTtlMs))),
    )
  }

  /** The session has ended, whatever becomes of its entries: its caller has tokens to revoke. They lapse by themselves. */
  async function leaveIndexes(id: string, indexes: string[]): Promise<void> {
    await Promise.allSettled(indexes.map((name) => run((redis) => redis.bffLeaveIndex(indexKey(name), id))))
  }

  /** A Redis that was frozen may yet give the lock to its caller, who has given up: what is sent behind undoes it. */
  function takeBack(id: string, owner: string): void {
    connection.client.bffRelease(...lockKeys(id), id, owner).catch(() => {})
  }

  function lockOf(id: string, owner: string, failures: number): Lock {
    return {
      failures,

      async release() {
        await run((redis) => redis.bffRelease(...lockKeys(id), id, owner))
      },

      async backOff(ms) {
        const awayMs = wholeMs(ms)
        const rememberMs = awayMs + FAILURES_OUTLIVE_BACK_OFF_MS
        await run((redis) => redis.bffBackOff(...lockKeys(id), id, owner, awayMs, rememberMs))
      },
    }
  }

  async function run<T>(command: (redis: RedisClient) => Promise<T>): Promise<T> {
    try {
      await connection.ready()
      const answer = await command(connection.client)
      if (failing) backSince = performance.now()
      failing = false
      return answer
    } catch (cause) {
      failing = true
      throw new StoreUnavailableError(withoutArguments(cause))
    }
  }
}

// Braces are Redis Cluster's hash tag: all keys of one session live in one slot.
const recordKey = (id: string) => `bff:{${id}}:record`
const lockKeys = (id: string): [lock: string, failures: string] => [
  `bff:{${id}}:lock`,
  `bff:{${id}}:failures`,
]
const indexKey = (name: string) => `bff:index:${name}`
const claimKey = (name: string) => `bff:claim:${name}`

/** Redis takes whole milliseconds only, and 0 would delete. Nor may anybody be told to wait for no time at all. */
function wholeMs(ms: number): number {
  return Math.max(1, Math.ceil(ms))
}

/** ioredis hangs a command with its arguments on its errors: sealed records, lock owners, a password. */
function withoutArguments(error: unknown): unknown {
  if (error instanceof Error) Reflect.deleteProperty(error, 'command')
  return error
}
