import type { Clock } from '../clock.ts'
import { createMemoryStore } from './memory.ts'
import { createRedisStore } from './redis.ts'
import { connectRedis } from './redis-connection.ts'
import { parseRedisUrl } from './redis-url.ts'
import type { SessionStore } from './store.ts'

export interface CreateStoreOptions {
  /** Unset: sessions live in the memory of this process. */
  redisUrl?: string | undefined
  clock: Clock
}

/**
 * A Redis that is down does not stop the start: the store connects later by itself.
 * @throws TypeError when `redisUrl` can't be understood
 */
export function createStore({ redisUrl, clock }: CreateStoreOptions): SessionStore {
  if (redisUrl === undefined) return createMemoryStore({ clock })
  return createRedisStore({ connection: connectRedis(parseRedisUrl(redisUrl)) })
}
