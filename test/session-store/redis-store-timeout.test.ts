import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { parseRedisUrl } from '../../config/index.ts'
import { connectRedis } from '../../plugins/session-store/redis-connection.ts'
import { type SessionStore, StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { startNetwork } from '../chaos/network.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { acquire, create, HOUR, sealedAs } from './contract-support.ts'
import { openStore } from './redis-support.ts'

/** Longer than any interruption in these tests. */
const LONG_TIMEOUT_MS = 60_000
/** Shorter than the interruptions. */
const SHORT_TIMEOUT_MS = 300

test('a Redis that is frozen for a while causes a delay and no error', async (t) => {
  const { redis, store } = await setUp(t)
  const lock = await acquire(store, 'locked')
  await create(store, 'old', { indexes: ['subject'] })
  redis.pause()
  const answers = Promise.all([
    store.read('old'),
    store.replace('old', sealedAs('second'), 1),
    create(store, 'new', { indexes: ['subject'] }),
    store.touch('old', HOUR),
    store.addMarker('name', HOUR),
    store.markerTtlMs('other'),
    lock.release(),
  ])
  await wait(700)

  redis.resume()

  const [, replaced, , , added] = await answers
  assert.deepEqual([replaced, added], [{ outcome: 'replaced', version: 2 }, true])
  assert.equal((await store.destroyBy('subject')).length, 2)
})

test('a Redis that restarts with its data causes a delay and no error', async (t) => {
  const { redis, store } = await setUp(t, { config: ['appendonly yes', 'appendfsync always'] })
  await create(store, 'a')
  await redis.kill()
  const answers = Promise.all([
    store.read('a'),
    store.replace('a', sealedAs('second'), 1),
    store.addMarker('name', HOUR),
  ])

  await redis.restart()

  const [, replaced, added] = await answers
  assert.deepEqual(replaced, { outcome: 'replaced', version: 2 })
  assert.equal(added, true)
})

test('retried writes whose answer was lost recognise what they have written', async (t) => {
  const { redis, store: other } = await setUp(t)
  const network = await startNetwork(redis.port)
  const store = openStore(`redis://127.0.0.1:${network.port}`, { storeTimeoutMs: LONG_TIMEOUT_MS })
  t.after(async () => {
    await store.close()
    await network.close()
  })
  await create(other, 'old', { sealed: sealedAs('first') })
  await create(other, 'ended', { sealed: sealedAs('newest'), indexes: ['subject'] })
  // The scripts are loaded by then, so the lost answer is not NOSCRIPT.
  await create(store, 'any')
  await Promise.all([
    store.replace('any', sealedAs('x'), 1),
    store.addMarker('any', HOUR),
    store.destroy('any'),
  ])

  network.cutAnswers()
  const answers = Promise.all([
    store.replace('old', sealedAs('second'), 1),
    store.addMarker('name', HOUR),
    store.destroy('ended'),
    create(store, 'new'),
  ])
  await until(
    async () =>
      (await other.read('old'))?.version === 2 &&
      !(await other.read('ended')) &&
      (await other.read('new')) &&
      (await other.markerTtlMs('name')) > 0,
  )
  network.restore()

  const [replaced, added, destroyed] = await answers
  assert.deepEqual(replaced, { outcome: 'replaced', version: 2 })
  assert.equal(added, true)
  assert.equal(String(destroyed?.sealed), 'newest')
  assert.equal(await other.addMarker('name', HOUR), false)
  assert.equal((await other.read('new'))?.version, 1)
})

test('a process that got no CPU does not blame a Redis that has answered', async (t) => {
  const { store } = await setUp(t, {}, SHORT_TIMEOUT_MS)
  await create(store, 'a')

  const answers = Promise.all(Array.from({ length: 1_000 }, () => store.read('a')))
  blockEventLoop(2 * SHORT_TIMEOUT_MS)

  for (const record of await answers) assert.equal(record?.version, 1)
})

test('an error reply fails its own command at once, and others get their locks', async (t) => {
  const { redis, store } = await setUp(t)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => connection.close())
  await connection.ready()
  await connection.client.set('bff:{bad}:record', 'no hash')
  await connection.client.call('SET', 'bff:{bad}:lock', 'x')
  await connection.client.call('DEL', 'bff:{bad}:lock')
  await connection.client.call('LPUSH', 'bff:{bad}:lock', 'no string')

  for (const operation of [
    () => store.read('bad'),
    () => store.replace('bad', sealedAs('x'), 1),
    () => store.lock('bad', HOUR),
  ]) {
    await assert.rejects(operation, (error) => {
      assert.ok(error instanceof StoreUnavailableError)
      assert.match(String(error.cause), /WRONGTYPE/)
      return true
    })
    await acquire(store, randomUUID())
  }
})

test('a command timeout on a live connection does not block locks', async (t) => {
  const { redis, store } = await setUp(t, {}, SHORT_TIMEOUT_MS)
  redis.pause()
  await assert.rejects(store.read('a'), StoreUnavailableError)
  redis.resume()

  await answersAgain(store)

  await acquire(store, 'a')
})

test('a lock that could not be released is released over the next connection', async (t) => {
  const { store, other, network } = await setUpCuttable(t)
  const lock = await acquire(store, 'a')
  network.cut()
  await assert.rejects(lock.release(), StoreUnavailableError)

  network.restore()

  await answersAgain(store)
  await acquire(other, 'a')
})

test("a lock granted after its caller's timeout is released over the next connection", async (t) => {
  const { redis, store, other, network } = await setUpCuttable(t)
  redis.pause()
  const lock = store.lock('a', HOUR)
  await wait(50)
  // The command has arrived, and nothing else will.
  network.cut()
  await assert.rejects(lock, StoreUnavailableError)
  redis.resume()
  await until(async () => (await other.lock('a', HOUR)).outcome === 'held')

  network.restore()

  await answersAgain(store)
  await acquire(other, 'a')
})

test('commands wait for a Redis that is busy with a script', async (t) => {
  const { redis, store } = await setUp(t, { config: ['busy-reply-threshold 1'] })
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => connection.close())
  await create(store, 'a')
  await connection.ready()
  const loop = connection.client.eval('while true do end', 0).catch(() => {})
  // It answers BUSY.
  const record = store.read('a')
  await until(async () => (await say(redis.port, 'PING')).startsWith('-BUSY'))
  await wait(100)

  await until(async () => (await say(redis.port, 'SCRIPT KILL')) === '+OK')

  assert.equal((await record)?.version, 1)
  await loop
})

test('with a thousand commands waiting the next fails at once', async (t) => {
  const { redis, store } = await setUp(t)
  await redis.kill()
  const waiting = Array.from({ length: 1_000 }, () => store.read('a'))

  await assert.rejects(store.read('a'), (error) => {
    assert.ok(error instanceof StoreUnavailableError)
    assert.match(String(error.cause), /Too many/)
    return true
  })

  await redis.restart()
  await Promise.all(waiting)
  await store.read('a')
})

test('during a long outage commands fail at once', async (t) => {
  const { redis, store } = await setUp(t, {}, SHORT_TIMEOUT_MS)
  await redis.kill()
  const killedAt = performance.now()
  const tookMs: number[] = []
  while (performance.now() - killedAt < 5 * SHORT_TIMEOUT_MS) {
    const startedAt = performance.now()
    await assert.rejects(store.read('a'), StoreUnavailableError)
    tookMs.push(performance.now() - startedAt)
    await wait(10)
  }
  assert.ok((tookMs[0] ?? 0) >= SHORT_TIMEOUT_MS - 5, `The first waited for ${tookMs[0]} ms`)
  assert.ok(Math.min(...tookMs) < SHORT_TIMEOUT_MS / 2, `None was refused at once: ${tookMs}`)
})

test('a short outage does not make the store look unready, a longer one does', async (t) => {
  const { redis, store } = await setUp(t, {}, 2 * SHORT_TIMEOUT_MS)
  await redis.kill()
  await store.ping()
  const killedAt = performance.now()
  while (
    await store.ping().then(
      () => true,
      () => false,
    )
  ) {
    assert.ok(performance.now() - killedAt < LONG_TIMEOUT_MS, 'It still looks ready')
    await wait(20)
  }
})

interface Options {
  config?: string[]
}

async function setUp(t: TestContext, options: Options = {}, storeTimeoutMs = LONG_TIMEOUT_MS) {
  const redis = await startRedis(options)
  const store = openStore(redis.url, { storeTimeoutMs })
  t.after(async () => {
    await store.close()
    await redis.close()
  })
  await store.read('any')
  return { redis, store }
}

/** A store with a short timeout whose connection can be cut; and another one. */
async function setUpCuttable(t: TestContext) {
  const { redis, store: other } = await setUp(t)
  const network = await startNetwork(redis.port)
  const store = openStore(`redis://127.0.0.1:${network.port}`, { storeTimeoutMs: SHORT_TIMEOUT_MS })
  t.after(async () => {
    await store.close()
    await network.close()
  })
  await store.read('any')
  // The scripts are loaded by then.
  await (await acquire(other, 'any')).release()
  return { redis, store, other, network }
}

async function answersAgain(store: SessionStore): Promise<void> {
  while (await store.read('any').catch(() => 'no answer')) await wait(20)
}

async function say(port: number, command: string): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  socket.write(`${command}\r\n`)
  const [answer] = (await once(socket, 'data')) as [string]
  socket.destroy()
  return answer.trim()
}

function blockEventLoop(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}
