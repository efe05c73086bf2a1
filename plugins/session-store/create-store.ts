import type { Clock } from '../clock.ts'
import { createMemoryStore } from './memory.ts'
import { createRedisStore } from './redis.ts'
import type { RedisAccess, RedisClient } from './redis-client.ts'
import { connectRedis } from './redis-connection.ts'
import { parseRedisUrl } from './redis-url.ts'
import type { SessionStore } from './store.ts'

export interface CreateStoreOptions {
  /** Unset: sessions live in the memory of this process. */
  redisUrl?: string | undefined
  /** Files and passwords, besides those in `redisUrl`. */
  redisAccess?: RedisAccess | undefined
  clock: Clock
  /** A session in memory made room for another. */
  onEvicted?: () => void
}

/**
 * A Redis that is down does not stop the start: the store connects later by itself.
 * @returns also the connection for commands, if there is one, for what else gateways share. It ends with the store
 * @throws TypeError when `redisUrl` can't be understood, or when a file of `redisAccess` can't be read
 */
export function createStore({ redisUrl, redisAccess, ...options }: CreateStoreOptions): {
  store: SessionStore
  redis?: RedisClient
} {
  if (redisUrl === undefined) return { store: createMemoryStore(options) }
  const connection = connectRedis(parseRedisUrl(redisUrl), redisAccess)
  return { store: createRedisStore({ connection }), redis: connection.client }
}
