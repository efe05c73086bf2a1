import { Cluster, ReplyError } from 'ioredis'
import { systemClock } from '../../lib/clock.ts'
import { createChangeNotifier } from './change-notifier.ts'
import { createRecentReads } from './recent-reads.ts'
import type { RedisClient } from './redis-client.ts'
import { createRedisCommands } from './redis-commands.ts'
import type { RedisConnection } from './redis-connection.ts'
import { createRecentWrites, watchMasters } from './redis-failover.ts'
import { CHANGED_CHANNEL, pingKeys } from './redis-keys.ts'
import { createRedisLocks } from './redis-locks.ts'
import { createRedisRecords, type RedisRecords } from './redis-records.ts'
import { noReport, type RedisReport } from './redis-state.ts'
import type { SessionStore } from './store.ts'

export interface RedisStoreOptions {
  /** Closed with the store. */
  connection: RedisConnection
  /** Timeout of an operation, in milliseconds. */
  storeTimeoutMs: number
  report?: Pick<RedisReport, 'putBack'> | undefined
}

/** How long `/readyz` waits for Redis. */
const PING_MS = 500

const WRITE_TRIED_EVERY_MS = 1_000

/** Sessions in Redis, shared by all gateways that use it. Every key has a time to live. */
export function createRedisStore({
  connection,
  storeTimeoutMs,
  report = noReport,
}: RedisStoreOptions): SessionStore {
  const commands = createRedisCommands({ connection, storeTimeoutMs })
  const { run } = commands
  const writes = createRecentWrites({ onTried: report.putBack })
  const masters = watchMasters(connection, (isMoved) => writes.putBack(connection.client, isMoved))
  const mayCreate = connection.hasReplicas
  const recent = createRecentReads(connection.subscriptionHealthy, (id) => {
    // If it fails, the session's next request reads, and reports it.
    records.read(id).catch(() => {})
  })
  const records: RedisRecords = createRedisRecords({
    run,
    writes,
    masters,
    recent,
    mayCreate,
    storeTimeoutMs,
    clock: systemClock,
  })
  connection.reachability.onLost(() => {
    writes.lost()
    recent.forgetAll()
  })
  const changes = createChangeNotifier()
  /** Time of the last write by {@link SessionStore.ping}. */
  let writtenAt = Number.NEGATIVE_INFINITY
  connection.subscribe(CHANGED_CHANNEL, {
    onMessage(id) {
      recent.forget(id)
      changes.notify(id)
    },
    onSubscribed() {
      recent.forgetAll()
      changes.notifyAll()
    },
  })

  return {
    ...records,

    lock: createRedisLocks({ connection, run, writes, masters }),

    changed: (id, signal) => changes.wait(id, signal),

    async ping() {
      const isWriteDue = performance.now() - writtenAt >= WRITE_TRIED_EVERY_MS
      const command = isWriteDue ? writeAndRead : (redis: RedisClient) => redis.ping()
      try {
        await run<unknown>(command, { patienceMs: Math.min(PING_MS, storeTimeoutMs) })
        if (isWriteDue) writtenAt = performance.now()
      } catch (error) {
        // The gateway stays ready during a short outage, while requests still wait for Redis.
        const isRefusal = error instanceof Error && error.cause instanceof ReplyError
        if (isRefusal || performance.now() - commands.answeredAt > storeTimeoutMs) throw error
      }
    },

    count: () => undefined,

    async close() {
      await connection.close()
      changes.notifyAll()
    },
  }
}

async function writeAndRead(redis: RedisClient): Promise<void> {
  const keys = redis instanceof Cluster ? pingKeys : pingKeys.slice(0, 1)
  const tries = keys.map((key) => Promise.all([redis.set(key, '1', 'PX', 60_000), redis.get(key)]))
  await Promise.any(tries).catch(({ errors }: AggregateError) => {
    throw errors[0]
  })
}
