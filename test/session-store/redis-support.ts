import { once } from 'node:events'
import { Cluster } from 'ioredis'
import { parseRedisUrl } from '../../config/index.ts'
import { systemClock } from '../../lib/clock.ts'
import { createStore } from '../../plugins/session-store/create-store.ts'
import type { RedisAccess, RedisClient } from '../../plugins/session-store/redis-client.ts'
import { connectRedis, type RedisConnection } from '../../plugins/session-store/redis-connection.ts'
import { lockKeys } from '../../plugins/session-store/redis-keys.ts'
import type { SetUpStore } from './contract-support.ts'

/**
 * Two gateways' stores on the Redis at `url()`, and a way to let time pass there.
 * @param adminUrl with all permissions
 */
export function redisUnderTest(url: () => string, adminUrl = url): SetUpStore {
  return async (t, name) => {
    const created = [create(url()), create(url())] as const
    const [{ store }, { store: other }] = created
    const connection = connectRedis(parseRedisUrl(adminUrl()))
    t.after(() => Promise.all([store.close(), other.close(), connection.close()]))
    return {
      store,
      other,
      advance: (ms) => letTimePass(connection, name, ms),
      async failOver(id) {
        await Promise.all([store.ping(), other.ping()])
        await connection.client.del(lockKeys(id)[0])
        await Promise.all(created.map(({ redis }) => loseConnection(redis)))
      },
    }
  }
}

interface OpenOptions extends RedisAccess {
  storeTimeoutMs?: number
}

export function openStore(redisUrl: string, options?: OpenOptions) {
  return create(redisUrl, options).store
}

function create(redisUrl: string, { storeTimeoutMs = 5_000, ...redisAccess }: OpenOptions = {}) {
  return createStore({ redisUrl, redisAccess, storeTimeoutMs, clock: systemClock })
}

async function loseConnection(redis: RedisClient | undefined): Promise<void> {
  const closed = redis && once(redis, 'close')
  redis?.disconnect(true)
  await closed
}

/** Every key whose name contains `name`, with its time to live. */
export async function keysOf(connection: RedisConnection, name: string): Promise<Map<string, number>> {
  const lua = `
    local found = {}
    for _, key in ipairs(redis.call('KEYS', '*' .. ARGV[1] .. '*')) do
      table.insert(found, { key, redis.call('PTTL', key) })
    end
    return found`
  const found = (await onEveryNode(connection, lua, name)) as [string, number][][]
  return new Map(found.flat())
}

/** Shortens the time to live of every key by `ms`. */
async function letTimePass(connection: RedisConnection, name: string, ms: number): Promise<void> {
  const lua = `
    for _, key in ipairs(redis.call('KEYS', '*' .. ARGV[1] .. '*')) do
      if redis.call('TYPE', key).ok == 'zset' then
        for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
          redis.call('ZINCRBY', key, -ARGV[2], member)
        end
      end
      local left = redis.call('PTTL', key) - ARGV[2]
      if left <= 0 then redis.call('DEL', key) else redis.call('PEXPIRE', key, left) end
    end`
  await onEveryNode(connection, lua, name, ms)
}

async function onEveryNode({ client, ready }: RedisConnection, lua: string, ...args: (string | number)[]) {
  await ready()
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  return Promise.all(nodes.map((node) => node.eval(lua, 0, ...args)))
}
