import { parseRedisUrl, type RedisTarget } from '../../config/index.ts'
import type { Clock } from '../../lib/clock.ts'
import { createMemoryStore } from './memory.ts'
import { createRedisStore } from './redis.ts'
import type { RedisAccess, RedisClient } from './redis-client.ts'
import { connectRedis } from './redis-connection.ts'
import type { RedisReport } from './redis-state.ts'
import type { SessionStore } from './store.ts'

export interface CreateStoreOptions {
  /** Unset: sessions live in the memory of this process. */
  redisUrl?: string | undefined
  /** Files and passwords, besides those in `redisUrl`. */
  redisAccess?: RedisAccess | undefined
  /** How long an operation waits for a Redis that doesn't answer, in milliseconds. */
  storeTimeoutMs: number
  clock: Clock
  /** A session in memory made room for another. */
  onEvicted?: () => void
}

export interface CreatedStore {
  store: SessionStore
  /** The connection for commands, for what else gateways share. It ends with the store. */
  redis?: RedisClient
  /** A sentence for each thing that works badly, though it works. */
  warnings(): string[]
}

/**
 * A Redis that is down does not stop the start: the store connects later by itself.
 * @param reportTo gets told what becomes of the connection to Redis
 * @throws TypeError when `redisUrl` can't be understood, or when a file of `redisAccess` can't be read
 */
export function createStore(
  { redisUrl, redisAccess, storeTimeoutMs, ...options }: CreateStoreOptions,
  reportTo?: (target: RedisTarget) => RedisReport,
): CreatedStore {
  if (redisUrl === undefined) return { store: createMemoryStore(options), warnings: () => [] }
  const target = parseRedisUrl(redisUrl)
  const connection = connectRedis(target, redisAccess, reportTo?.(target))
  return {
    store: createRedisStore({ connection, storeTimeoutMs }),
    redis: connection.client,
    warnings: connection.warnings,
  }
}
