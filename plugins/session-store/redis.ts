import { randomBytes } from 'node:crypto'
import { Cluster, ReplyError } from 'ioredis'
import { createChangeNotifier } from './change-notifier.ts'
import type { RedisClient } from './redis-client.ts'
import { createRedisCommands } from './redis-commands.ts'
import type { RedisConnection } from './redis-connection.ts'
import { createRedisIndexes } from './redis-indexes.ts'
import { claimKey, lockKeys, pingKeys, recordKey, sessionKeys, wholeMs } from './redis-keys.ts'
import { CHANGED_CHANNEL } from './redis-scripts.ts'
import type { Lock, SealedRecord, SessionStore } from './store.ts'

export interface RedisStoreOptions {
  /** Closed with the store. */
  connection: RedisConnection
  /** How long an operation waits for a Redis that doesn't answer, in milliseconds. */
  storeTimeoutMs: number
}

/** Failures in a row are forgotten a minute after the last back-off has ended. */
const FAILURES_OUTLIVE_BACK_OFF_MS = 60_000

/**
 * Locks lapse during an outage, though their holders may have got tokens meanwhile that they could not store. After
 * it they come first, or a refresh token would be spent twice: for so long a gateway that lost its connection takes no
 * lock. It is what two gateways' connections can be apart in coming back, and a holder's next try.
 */
const HEAD_START_MS = 3_000

/** How long it is remembered that a session has ended, against whatever arrives late and would bring it back. */
const END_REMEMBERED_MS = 120_000

/** How long `/readyz` waits for Redis. */
const PING_MS = 500

const WRITE_TRIED_EVERY_MS = 1_000

/** How many sessions of an index are destroyed at a time. */
const DESTROY_BATCH = 100

/** Sessions in Redis, shared by all gateways that use it. Every key has a time to live. */
export function createRedisStore({ connection, storeTimeoutMs }: RedisStoreOptions): SessionStore {
  const commands = createRedisCommands({ connection, storeTimeoutMs })
  const { run } = commands
  const indexes = createRedisIndexes(run)
  const changes = createChangeNotifier()
  /** When a {@link SessionStore.ping} has last written. */
  let writtenAt = Number.NEGATIVE_INFINITY
  connection.subscribe(CHANGED_CHANNEL, {
    onMessage: (id) => changes.notify(id),
    onSubscribed: () => changes.notifyAll(),
  })

  return {
    async create(id, { sealed, ttlMs, indexes: names }) {
      // Entries first: a session that is in no index would outlive a logout from outside, while an entry
      // without a session is harmless.
      await indexes.enter(id, names, ttlMs)
      await run((redis) => redis.bffCreate(...sessionKeys(id), sealed, wholeMs(ttlMs), JSON.stringify(names)))
    },

    async put(id, sealed, ttlMs) {
      await run((redis) => redis.bffPut(recordKey(id), sealed, wholeMs(ttlMs)))
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
      const owner = randomToken()
      const [outcome, number] = await takeLock(id, owner, ttlMs)
      switch (outcome) {
        case 'acquired':
          return { outcome, lock: lockOf(id, owner, number) }
        case 'recovering':
        case 'held':
          return { outcome, lapsesInMs: wholeMs(number) }
        case 'backing-off':
          return { outcome, retryInMs: wholeMs(number) }
      }
    },

    changed: (id, signal) => changes.wait(id, signal),

    async claim(name, ttlMs) {
      const owner = randomToken()
      return (await run((redis) => redis.bffClaim(claimKey(name), owner, wholeMs(ttlMs)))) === 1
    },

    claimLastsMs: async (name) => Math.max(0, await run((redis) => redis.pttl(claimKey(name)))),

    async ping() {
      const isWriteDue = performance.now() - writtenAt >= WRITE_TRIED_EVERY_MS
      const command = isWriteDue ? writeAndRead : (redis: RedisClient) => redis.ping()
      try {
        await run<unknown>(command, { patienceMs: Math.min(PING_MS, storeTimeoutMs) })
        if (isWriteDue) writtenAt = performance.now()
      } catch (error) {
        // As long as requests wait for it with some hope, the gateway is not to be taken out of service.
        const isRefusal = error instanceof Error && error.cause instanceof ReplyError
        if (isRefusal || performance.now() - commands.answeredAt > storeTimeoutMs) throw error
      }
    },

    async close() {
      await connection.close()
      changes.notifyAll()
    },
  }

  async function destroy(id: string, onlyVersion?: number): Promise<SealedRecord | undefined> {
    const by = randomToken()
    const destroyed = await run((redis) =>
      redis.bffDestroyBuffer(...sessionKeys(id), id, onlyVersion ?? '', by, END_REMEMBERED_MS),
    )
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

  async function takeLock(id: string, owner: string, ttlMs: number): Promise<LockAnswer> {
    if (!connection.reachability.isReady) await run((redis) => redis.ping())
    const before = headStartMs()
    if (before > 0) return ['recovering', before]
    const asked = run((redis) => redis.bffLock(...lockKeys(id), owner, wholeMs(ttlMs)))
    const answer: LockAnswer = await asked.catch((error) => {
      giveBackUnheard(id, owner)
      throw error
    })
    // The connection was lost on the way, and another one brought the answer.
    const after = headStartMs()
    if (answer[0] !== 'acquired' || after <= 0) return answer
    giveBackUnheard(id, owner)
    return ['recovering', after]
  }

  function headStartMs(): number {
    return connection.reachability.backSince + HEAD_START_MS - performance.now()
  }

  /** A Redis that was frozen may yet give the lock to its caller, who has given up: what is sent behind undoes it. */
  function giveBackUnheard(id: string, owner: string): void {
    connection.client.bffRelease(...lockKeys(id), id, owner).catch(() => {})
  }

  function lockOf(id: string, owner: string, failures: number): Lock {
    return {
      failures,

      async release() {
        await run((redis) => redis.bffRelease(...lockKeys(id), id, owner))
      },

      async extend(ms) {
        // An extension that is sent again might come behind the release, and take the lock once more.
        const extended = run((redis) => redis.bffLock(...lockKeys(id), owner, wholeMs(ms)), { once: true })
        const [outcome] = await extended
        return outcome === 'acquired'
      },

      async backOff(ms) {
        const awayMs = wholeMs(ms)
        const rememberMs = awayMs + FAILURES_OUTLIVE_BACK_OFF_MS
        await run((redis) => redis.bffBackOff(...lockKeys(id), id, owner, awayMs, rememberMs))
      },
    }
  }
}

type LockAnswer = [outcome: 'acquired' | 'held' | 'backing-off' | 'recovering', number]

async function writeAndRead(redis: RedisClient): Promise<void> {
  const keys = redis instanceof Cluster ? pingKeys : pingKeys.slice(0, 1)
  const tries = keys.map((key) => Promise.all([redis.set(key, '1', 'PX', 60_000), redis.get(key)]))
  await Promise.any(tries).catch(({ errors }: AggregateError) => {
    throw errors[0]
  })
}

function randomToken(): string {
  return randomBytes(16).toString('base64url')
}
