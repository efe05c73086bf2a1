import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { inspect } from 'node:util'
import { parseRedisUrl } from '../../config/index.ts'
import { createRedisStore } from '../../plugins/session-store/redis.ts'
import { connectRedis } from '../../plugins/session-store/redis-connection.ts'
import { type SessionStore, StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { freePort } from '../support/free-port.ts'
import { startRedis } from '../support/redis.ts'
import { giveUpMs, until } from '../support/until.ts'
import { acquire, create, HOUR, sealedAs, untilNotified } from './contract-support.ts'
import { openStore } from './redis-support.ts'

/** STORE_TIMEOUT of these tests. */
const STORE_TIMEOUT_MS = 1000
/** An upper bound that allows for a busy machine. */
const BOUND_MS = 20_000

test('without Redis every operation fails soon, and works once it is back', async (t) => {
  const { redis, store } = await setUp(t)
  const lock = await acquire(store, 'held')
  await redis.stop()

  await assertUnavailable([
    () => create(store, 'a', { indexes: ['subject'] }),
    () => store.read('a'),
    () => store.replace('a', sealedAs('sealed'), 1),
    () => store.touch('a', HOUR),
    () => store.destroy('a'),
    () => store.destroyBy('subject'),
    () => store.lock('a', HOUR),
    () => lock.release(),
    () => lock.backOff(HOUR),
    () => store.addMarker('a', HOUR),
  ])
  await untilUnready(store)

  await redis.restart()
  await untilAnswers(store)
  await create(store, 'a')
  assert.equal((await store.read('a'))?.version, 1)
})

test('operations on a frozen but connected Redis fail soon too', async (t) => {
  const { redis, store } = await setUp(t)
  redis.pause()
  await assertUnavailable([() => store.read('a'), () => store.lock('a', HOUR)])
  await untilUnready(store)
  redis.resume()
  await untilAnswers(store)
})

test('the store reconnects to the replacement of a frozen Redis', async (t) => {
  const { redis, store } = await setUp(t)
  redis.pause()
  await assertUnavailable([() => store.read('a')])
  await redis.restart()
  await untilAnswers(store)
})

test('a command is not sent again after it has failed for its caller', async (t) => {
  const { redis, store } = await setUp(t)
  await redis.kill()
  await assertUnavailable([() => store.addMarker('a', HOUR)])
  await redis.restart()
  await untilAnswers(store)
  assert.equal(await store.addMarker('a', HOUR), true)
})

test('a lock that is requested during an outage is not taken even for a moment', async (t) => {
  const { redis } = await setUp(t)
  const connection = connectRedis(parseRedisUrl(redis.url))
  const store = createRedisStore({ connection, storeTimeoutMs: 5_000 })
  t.after(() => store.close())
  await store.read('a')
  await redis.kill()
  await until(() => !connection.reachability.isReady)
  const requested = store.lock('a', HOUR)
  await redis.restart()

  assert.equal((await requested).outcome, 'recovering')
  // Otherwise its earlier holder could not extend it in that moment.
  assert.doesNotMatch(await redis.send('INFO commandstats'), /cmdstat_set:/)
})

test('a command that a frozen Redis never answered is not sent to the one that replaces it', async (t) => {
  const { redis, store } = await setUp(t)
  redis.pause()
  await assertUnavailable([() => store.addMarker('a', HOUR)])
  await redis.restart()
  await untilAnswers(store)
  assert.equal(await store.addMarker('a', HOUR), true)
})

test("a lock that a frozen Redis grants after the caller's timeout is released", async (t) => {
  const { redis, store } = await setUp(t)
  redis.pause()
  await assertUnavailable([() => store.lock('a', HOUR)])
  redis.resume()
  const other = openStore(redis.url, { storeTimeoutMs: STORE_TIMEOUT_MS })
  t.after(() => other.close())
  await untilAnswers(other)
  await acquire(other, 'a')
})

test('just after an outage no lock is granted, as its holder may have tokens to store', async (t) => {
  const { redis, store } = await setUp(t)
  await redis.kill()
  await assertUnavailable([() => store.read('a')])
  await redis.restart()
  await untilAnswers(store)

  const refused = await store.lock('a', HOUR)

  assert.ok(refused.outcome === 'recovering', refused.outcome)
  assert.ok(refused.expiresInMs > 0 && refused.expiresInMs <= 3_000, `${refused.expiresInMs}`)
  await until(async () => (await store.lock('a', HOUR)).outcome === 'acquired')
})

test('a Redis that is down at the start does not prevent it, and is connected when it is up', async (t) => {
  const port = await freePort()
  const store = openStore(`redis://127.0.0.1:${port}`, { storeTimeoutMs: STORE_TIMEOUT_MS })
  t.after(() => store.close())
  await assertUnavailable([() => store.ping(), () => store.read('a')])

  const redis = await startRedis({ port })
  t.after(() => redis.close())

  await untilAnswers(store)
})

test('the first commands wait for the connection', async (t) => {
  const { redis } = await setUp(t)
  const store = openStore(redis.url, { storeTimeoutMs: STORE_TIMEOUT_MS })
  t.after(() => store.close())
  assert.equal(await store.read('a'), undefined)
})

test('a short interruption of the connection causes no error', async (t) => {
  const { redis } = await setUp(t)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => connection.close())
  await connection.ready()
  const closed = once(connection.client, 'close')
  connection.client.disconnect(true)
  await closed

  await connection.ready()

  assert.equal(await connection.client.ping(), 'PONG')
})

test('a connection that ioredis has given up is replaced', async (t) => {
  const { redis } = await setUp(t)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => connection.close())
  await connection.ready()
  const ended = once(connection.client, 'end')
  connection.client.disconnect()
  await ended

  await connection.ready()

  assert.equal(await connection.client.ping(), 'PONG')
})

test('a connection that stayed with a master that was demoted is moved to the new one, without an error', async (t) => {
  const { redis } = await setUp(t)
  const successor = await startRedis()
  t.after(() => successor.close())
  const network = await startNetwork(redis.port)
  const store = openStore(`redis://127.0.0.1:${network.port}`)
  t.after(async () => {
    await store.close()
    network.close()
  })
  await create(store, 'before')
  network.leadTo(successor.port)
  // From now on it answers writes with READONLY. It closes no connection.
  await redis.send('REPLICAOF 127.0.0.1 1')

  await create(store, 'after')

  const there = openStore(successor.url)
  t.after(() => there.close())
  assert.equal((await there.read('after'))?.version, 1)
})

test('a silently vanished Redis is reconnected, with a delay and no error', async (t) => {
  const { redis } = await setUp(t)
  const network = await startNetwork(redis.port)
  const store = openStore(`redis://127.0.0.1:${network.port}`)
  t.after(async () => {
    await store.close()
    network.close()
  })
  await store.ping()

  network.loseConnections()

  assert.equal(await store.read('a'), undefined)
})

test('after an outage waiters read again, as a notification may have been missed', async (t) => {
  const { redis, store } = await setUp(t)
  await untilNotified(store, store, 'warm-up')
  const signal = AbortSignal.timeout(giveUpMs)
  const notified = store.changed('a', signal)

  await redis.restart()

  await notified
  assert.equal(signal.aborted, false)
  await untilAnswers(store)
  await untilNotified(store, store, 'again')
})

test('scripts that Redis has lost are sent again', async (t) => {
  const { redis, store } = await setUp(t)
  const connection = connectRedis(parseRedisUrl(redis.url))
  t.after(() => connection.close())
  await create(store, 'a')
  await store.read('a')
  await connection.ready()
  await connection.client.script('FLUSH')
  assert.equal((await store.read('a'))?.version, 1)
})

test('a password is used, and the error of a refusal shows neither it nor the data', async (t) => {
  const redis = await startRedis({ config: ['requirepass s3cret'] })
  t.after(() => redis.close())
  const right = openStore(redis.url.replace('//', '//:s3cret@'))
  const wrong = openStore(redis.url.replace('//', '//:wr0ng-one@'), { storeTimeoutMs: STORE_TIMEOUT_MS })
  t.after(() => Promise.all([right.close(), wrong.close()]))

  await right.ping()

  const error = await create(wrong, 'a', { sealed: sealedAs('sealed-record') }).catch((error) => error)
  assert.ok(error instanceof StoreUnavailableError)
  assert.match(String(error.cause), /WRONGPASS/)
  assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /wr0ng-one|sealed-record/)
})

test('an error of a command shows no arguments', async (t) => {
  const { redis, store } = await setUp(t)
  await create(store, 'a')
  redis.pause()
  const error = await store.replace('a', sealedAs('sealed-record'), 1).catch((error) => error)
  redis.resume()
  assert.ok(error instanceof StoreUnavailableError)
  assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /sealed-record/)
})

async function setUp(t: TestContext) {
  const redis = await startRedis()
  const store = openStore(redis.url, { storeTimeoutMs: STORE_TIMEOUT_MS })
  t.after(async () => {
    await store.close()
    await redis.close()
  })
  await store.ping()
  return { redis, store }
}

async function assertUnavailable(operations: (() => Promise<unknown>)[]): Promise<void> {
  for (const operation of operations) {
    const startedAt = performance.now()
    await assert.rejects(operation, (error) => {
      assert.ok(error instanceof StoreUnavailableError, `${operation}: ${inspect(error)}`)
      assert.ok(error.cause instanceof Error)
      return true
    })
    const tookMs = performance.now() - startedAt
    assert.ok(tookMs < BOUND_MS, `${operation} took ${tookMs} ms`)
  }
}

/** `/readyz` reports an outage when it has lasted for STORE_TIMEOUT. */
async function untilUnready(store: SessionStore): Promise<void> {
  await until(() =>
    store.ping().then(
      () => false,
      () => true,
    ),
  )
}

/** There is no event for a restored connection: poll, for ten seconds at most. */
async function untilAnswers(store: SessionStore, tries = 200): Promise<void> {
  for (let left = tries; ; left--) {
    const error = await store.read('any').catch((error) => error)
    if (!error) return
    if (left <= 1) throw error
    await wait(50)
  }
}

/** A network path to Redis that can drop all packets silently. */
async function startNetwork(redisPort: number) {
  const sockets = new Set<Socket>()
  let port = redisPort
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    near.pipe(far).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    /** New connections lead to another server. */
    leadTo(otherPort: number) {
      port = otherPort
    },
    loseConnections() {
      for (const socket of sockets) socket.unpipe().pause()
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
