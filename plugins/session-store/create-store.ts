import { parseRedisUrl, type RedisTarget } from '../../config/index.ts'
import type { Clock } from '../../lib/clock.ts'
import { createMemoryStore } from './memory.ts'
import { createRedisStore } from './redis.ts'
import type { RedisAccess, RedisClient } from './redis-client.ts'
import { connectRedis } from './redis-connection.ts'
import type { RedisReport } from './redis-state.ts'
import type { SessionStore } from './store.ts'

export interface CreateStoreOptions {
  /** Unset: sessions are stored in the memory of this process. */
  redisUrl?: string | undefined
  /** Files and passwords, besides those in `redisUrl`. */
  redisAccess?: RedisAccess | undefined
  /** How long an operation waits for a Redis that doesn't answer, in milliseconds. */
  storeTimeoutMs: number
  clock: Clock
  /** Called when a session in memory was evicted for another. */
  onEvicted?: () => void
}

export interface CreatedStore {
  store: SessionStore
  /** The connection for commands, for other data that gateways share. Closed with the store. */
  redis?: RedisClient
  /** One sentence for each problem that does not prevent working. */
  warnings(): string[]
}

/**
 * Does not fail if Redis is down: the store connects later.
 * @param reportTo creates the receiver of events about the Redis connection
 * @throws TypeError when `redisUrl` is not valid, or when a file of `redisAccess` can't be read
 */
export function createStore(
  { redisUrl, redisAccess, storeTimeoutMs, ...options }: CreateStoreOptions,
  reportTo?: (target: RedisTarget) => RedisReport,
): CreatedStore {
  if (redisUrl === undefined) return { store: createMemoryStore(options), warnings: () => [] }
  const target = parseRedisUrl(redisUrl)
  const report = reportTo?.(target)
  const connection = connectRedis(target, redisAccess, report)
  return {
    store: createRedisStore({ connection, storeTimeoutMs, report }),
    redis: connection.client,
    warnings: connection.warnings,
  }
}
