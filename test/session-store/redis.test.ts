import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { parseRedisUrl } from '../../config/index.ts'
import { connectRedis } from '../../plugins/session-store/redis-connection.ts'
import { redisUrl } from '../support/redis.ts'
import { storeContract } from './contract.ts'
import { acquire, create, HOUR, MINUTE, sealedAs } from './contract-support.ts'
import { keysOf, openStore, redisUnderTest } from './redis-support.ts'

let redis: Awaited<ReturnType<typeof redisUrl>>
before(async () => {
  redis = await redisUrl()
})
after(() => redis.close())

storeContract(
  'Redis',
  redisUnderTest(() => redis.url),
)

test('every key has a time to live, and its purpose and session in its name', async (t) => {
  const id = randomUUID()
  const store = openStore(redis.url)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => Promise.all([store.close(), connection.close()]))
  await create(store, id, { ttlMs: HOUR, indexes: [`${id}-subject`] })
  await create(store, `${id}-short`, { indexes: [`${id}-subject`] })
  await store.replace(id, sealedAs('second'), 1)
  await store.touch(id, 2 * HOUR)
  const lock = await acquire(store, id)
  await lock.backOff(10 * MINUTE)
  await acquire(store, `${id}-locked`, MINUTE)
  await store.addMarker(id, MINUTE)

  const keys = await keysOf(connection, id)

  const minutes = [...keys].map(([key, ttlMs]) => [key.replaceAll(id, 'x'), Math.ceil(ttlMs / MINUTE)])
  assert.deepEqual(Object.fromEntries(minutes), {
    'bff:{x}:record': 120,
    'bff:{x}:lock': 10,
    'bff:{x}:failures': 11,
    'bff:{x-short}:record': 60,
    'bff:{x-locked}:lock': 1,
    'bff:index:x-subject': 121,
    'bff:claim:x': 1,
  })
})

test('ended sessions leave no keys behind, except a mark for two minutes', async (t) => {
  const id = randomUUID()
  const store = openStore(redis.url)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => Promise.all([store.close(), connection.close()]))
  await create(store, `${id}-1`, { indexes: [`${id}-subject`, `${id}-sid`] })
  await create(store, `${id}-2`, { indexes: [`${id}-subject`] })

  await store.destroy(`${id}-1`)
  await store.destroyBy(`${id}-subject`)

  const keys = await keysOf(connection, id)
  assert.deepEqual([...keys.keys()].sort(), [`bff:{${id}-1}:ended`, `bff:{${id}-2}:ended`])
  for (const ttlMs of keys.values()) assert.ok(ttlMs > 0 && ttlMs <= 2 * MINUTE)
})

test('index entries of expired sessions are removed at the next sign-in', async (t) => {
  const id = randomUUID()
  const { store, advance } = await redisUnderTest(() => redis.url)(t, id)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => connection.close())
  await create(store, `${id}-1`, { indexes: [id], ttlMs: MINUTE })
  await create(store, `${id}-2`, { indexes: [id], ttlMs: HOUR })
  await advance(2 * MINUTE)

  await create(store, `${id}-3`, { indexes: [id], ttlMs: HOUR })

  await connection.ready()
  assert.deepEqual(await connection.client.zrange(`bff:index:${id}`, 0, '-1'), [`${id}-2`, `${id}-3`])
})

test('index entries without their session do no harm', async (t) => {
  const id = randomUUID()
  const { store } = await redisUnderTest(() => redis.url)(t, id)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => connection.close())
  await create(store, id, { indexes: [`${id}-subject`] })
  await connection.client.zadd(`bff:index:${id}-subject`, Date.now() + HOUR, 'never-created')

  assert.equal((await store.destroyBy(`${id}-subject`)).length, 1)
  assert.equal((await store.destroyBy(`${id}-subject`)).length, 0)
})
