import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { startRedis } from '../support/redis.ts'
import { create, MINUTE, sealedAs } from './contract-support.ts'
import { openStore } from './redis-support.ts'

test('with noeviction a full Redis reads and ends sessions, and refuses new ones and renewals', async (t) => {
  const { redis, store } = await setUp(t)
  await redis.send('CONFIG SET maxmemory-policy noeviction')
  await redis.send('CONFIG SET maxmemory 1')

  assert.equal((await store.read('a'))?.version, 1)
  await store.touch('b', MINUTE)
  await assertOutOfMemory(() => create(store, 'c'))
  await assertOutOfMemory(() => store.replace('a', sealedAs('second'), 1))
  await assertOutOfMemory(() => store.lock('a', MINUTE))
  await assertOutOfMemory(() => store.ping())
  assert.ok(await store.destroy('a'))
  assert.equal(await store.read('a'), undefined)

  await redis.send('CONFIG SET maxmemory 0')
  await create(store, 'c')
  assert.equal((await store.read('c'))?.version, 1)
})

test('with volatile-ttl a full Redis evicts the sessions that have been unused for longest', async (t) => {
  const { redis, store } = await setUp(t)
  const used = Number(/used_memory:(\d+)/.exec(await redis.send('INFO memory'))?.[1])
  await redis.send('CONFIG SET maxmemory-policy volatile-ttl')
  await redis.send('CONFIG SET maxmemory-samples 64')
  await redis.send(`CONFIG SET maxmemory ${used + 2_000_000}`)
  const names = Array.from({ length: 40 }, (_, i) => `s${i}`)

  const sealed = Buffer.alloc(100_000, 1)
  for (const [i, id] of names.entries()) await create(store, id, { sealed, ttlMs: (i + 10) * MINUTE })

  const alive = await Promise.all(names.map(async (id) => (await store.read(id)) !== undefined))
  assert.deepEqual([alive[0], alive.at(-1)], [false, true])
  assert.ok(alive.indexOf(true) > 10 && alive.lastIndexOf(false) < 39, alive.join())
})

async function setUp(t: TestContext) {
  const redis = await startRedis()
  const store = openStore(redis.url)
  t.after(async () => {
    await store.close()
    await redis.close()
  })
  await create(store, 'a')
  await create(store, 'b', { indexes: ['subject'] })
  return { redis, store }
}

async function assertOutOfMemory(operation: () => Promise<unknown>): Promise<void> {
  await assert.rejects(operation, (error) => {
    assert.ok(error instanceof StoreUnavailableError)
    assert.match(String(error.cause), /OOM command not allowed/, String(operation))
    return true
  })
}
