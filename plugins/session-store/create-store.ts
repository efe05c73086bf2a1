import type { Clock } from '../clock.ts'
import { createMemoryStore } from './memory.ts'
import { createRedisStore } from './redis.ts'
import { connectRedis, type RedisClient } from './redis-connection.ts'
import { parseRedisUrl } from './redis-url.ts'
import type { SessionStore } from './store.ts'

export interface CreateStoreOptions {
  /** Unset: sessions live in the memory of this process. */
  redisUrl?: string | undefined
  clock: Clock
}

/**
 * A Redis that is down does not stop the start: the store connects later by itself.
 * @returns also the connection for commands, if there is one, for what else gateways share. It ends with the store
 * @throws TypeError when `redisUrl` can't be understood
 */
export function createStore({ redisUrl, clock }: CreateStoreOptions): {
  store: SessionStore
  redis?: RedisClient
} {
  if (redisUrl === undefined) return { store: createMemoryStore({ clock }) }
  const connection = connectRedis(parseRedisUrl(redisUrl))
  return { store: createRedisStore({ connection }), redis: connection.client }
}
