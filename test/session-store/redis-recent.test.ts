import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { SessionStore } from '../../plugins/session-store/store.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { openStore } from './redis-support.ts'

/** Two gateways' stores on one Redis, and a session that the first has just read. */
async function start(t: TestContext) {
  const redis = await startRedis()
  t.after(redis.close)
  const [one, other] = [openStore(redis.url), openStore(redis.url)]
  t.after(() => Promise.all([one.close(), other.close()]))
  const id = randomUUID()
  await one.create(id, { sealed: Buffer.from('sealed'), ttlMs: 60_000, indexes: [] })
  await until(async () => (await one.read(id)) !== undefined && one.peek(id) !== undefined)
  return { redis, one, other, id }
}

async function isGone(store: SessionStore, id: string): Promise<void> {
  await until(() => store.peek(id) === undefined)
}

test('a session that another gateway ends is no longer at hand', async (t) => {
  const { one, other, id } = await start(t)
  await other.destroy(id)
  await isGone(one, id)
})

test('a session that another gateway renews is read again', async (t) => {
  const { one, other, id } = await start(t)
  await other.replace(id, Buffer.from('renewed'), 1)
  await until(() => one.peek(id)?.version !== 1)
  assert.equal((await one.read(id))?.version, 2)
})

test('what this gateway changes itself is not at hand in its old form for a moment', async (t) => {
  const { one, id } = await start(t)
  await one.replace(id, Buffer.from('renewed'), 1)
  assert.equal(one.peek(id), undefined)
  // Its own announcement may come after the next read.
  await until(async () => (await one.read(id)) && one.peek(id)?.version === 2)
  await one.destroy(id)
  assert.equal(one.peek(id), undefined)
})

const cuts: Record<string, (redis: RedisServer) => unknown> = {
  'its subscription is cut': (redis) => redis.send('CLIENT KILL TYPE pubsub'),
  'its messages are lost': (redis) => redis.send('ACL SETUSER default resetchannels'),
  'Redis does not answer': (redis) => redis.pause(),
  'Redis is gone': (redis) => redis.kill(),
}

for (const [what, cut] of Object.entries(cuts)) {
  test(`a session is at hand for two seconds at most when ${what}`, async (t) => {
    const { redis, one, id } = await start(t)
    t.after(() => redis.resume())
    await one.read(id)
    const readAt = performance.now()
    await cut(redis)
    while (performance.now() - readAt < 2_000) await new Promise(setImmediate)
    assert.equal(one.peek(id), undefined)
  })
}
