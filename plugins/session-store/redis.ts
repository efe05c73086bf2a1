import { randomBytes } from 'node:crypto'
import { Cluster } from 'ioredis'
import { createChangeNotifier } from './change-notifier.ts'
import type { RedisClient } from './redis-client.ts'
import type { RedisConnection } from './redis-connection.ts'
import { createRedisIndexes } from './redis-indexes.ts'
import { claimKey, lockKeys, pingKeys, recordKey, wholeMs } from './redis-keys.ts'
import { CHANGED_CHANNEL } from './redis-scripts.ts'
import { type Lock, type SealedRecord, type SessionStore, StoreUnavailableError } from './store.ts'

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

const WRITE_TRIED_EVERY_MS = 1_000

/** How many sessions of an index are destroyed at a time. */
const DESTROY_BATCH = 100

/** Sessions in Redis, shared by all gateways that use it. Every key has a time to live. */
export function createRedisStore({ connection }: RedisStoreOptions): SessionStore {
  const indexes = createRedisIndexes(run)
  const changes = createChangeNotifier()
  /** When a {@link SessionStore.ping} has last written. */
  let writtenAt = Number.NEGATIVE_INFINITY
  /** Whether the last command failed. */
  let failing = false
  /** When the last outage ended. */
  let backSince = Number.NEGATIVE_INFINITY
  connection.subscribe(CHANGED_CHANNEL, {
    onMessage: (id) => changes.notify(id),
    onSubscribed: () => changes.notifyAll(),
  })

  return {
    async create(id, { sealed, ttlMs, indexes: names }) {
      // Entries first: a session that is in no index would outlive a logout from outside, while an entry
      // without a session is harmless.
      await indexes.enter(id, names, ttlMs)
      await run((redis) => redis.bffCreate(recordKey(id), sealed, wholeMs(ttlMs), JSON.stringify(names)))
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
      const names = JSON.parse(stored)
      await indexes.enter(id, names, ttlMs)
      const isAlive = await run((redis) => redis.pexpire(recordKey(id), wholeMs(ttlMs)))
      // It has ended meanwhile, and left them before it was entered again.
      if (isAlive === 0) await indexes.leave(id, names)
    },

    destroy,

    async destroyBy(index) {
      // Entries that had no session stay until they lapse: one may belong to a session that is just being created.
      return (await destroyAll(await indexes.ids(index))).length
    },

    async trim(index, max, newest) {
      return destroyAll(await indexes.surplus(index, max, newest))
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
      if (performance.now() - writtenAt < WRITE_TRIED_EVERY_MS) {
        await run((redis) => redis.ping())
        return
      }
      await run(writeAndRead)
      writtenAt = performance.now()
    },

    async close() {
      await connection.close()
      changes.notifyAll()
    },
  }

  async function destroy(id: string, onlyVersion?: number): Promise<SealedRecord | undefined> {
    const destroyed = await run((redis) => redis.bffDestroyBuffer(recordKey(id), id, onlyVersion ?? ''))
    if (!destroyed) return undefined
    const [sealed, version, names] = destroyed
    await indexes.leave(id, JSON.parse(names.toString()))
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

async function writeAndRead(redis: RedisClient): Promise<void> {
  const keys = redis instanceof Cluster ? pingKeys : pingKeys.slice(0, 1)
  const tries = keys.map((key) => Promise.all([redis.set(key, '1', 'PX', 60_000), redis.get(key)]))
  await Promise.any(tries).catch(({ errors }: AggregateError) => {
    throw errors[0]
  })
}

/** ioredis hangs a command with its arguments on its errors: sealed records, lock owners, a password. */
function withoutArguments(error: unknown): unknown {
  if (error instanceof Error) Reflect.deleteProperty(error, 'command')
  return error
}
