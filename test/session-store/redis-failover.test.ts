import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseRedisUrl } from '../../config/index.ts'
import { createRedisStore } from '../../plugins/session-store/redis.ts'
import { connectRedis } from '../../plugins/session-store/redis-connection.ts'
import type { PutBackTry } from '../../plugins/session-store/redis-state.ts'
import { type Network, startNetwork } from '../chaos/network.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startCluster } from '../support/redis-topologies.ts'
import { until } from '../support/until.ts'
import { acquire, create, HOUR, MINUTE, sealedAs } from './contract-support.ts'
import { openStore } from './redis-support.ts'

test('tokens that only the old master had are restored', async (t) => {
  const { store, promote, failOver, fresh } = await setUp(t)
  await create(store, 'a')
  await promote()
  await store.replace('a', sealedAs('second'), 1)
  await store.replace('a', sealedAs('third'), 2)

  failOver()

  const record = await store.read('a')
  assert.deepEqual([record?.version, record?.sealed], [3, sealedAs('third')])
  assert.ok((await fresh.pttl('bff:{a}:record')) > HOUR - MINUTE)
})

test('a restored write that the new master refuses is reported with its reason, and the others succeed', async (t) => {
  const { store, promote, failOver, fresh, tried } = await setUp(t)
  await create(store, 'a')
  await create(store, 'b')
  await promote()
  for (const id of ['a', 'b']) await store.replace(id, sealedAs('second'), 1)
  await fresh.set('bff:{a}:record', 'no hash')

  failOver()

  await until(() => tried.length > 0)
  const [refused, ...more] = tried.filter(({ outcome }) => outcome !== 'ok')
  assert.match(String(refused?.error), /WRONGTYPE/)
  assert.deepEqual([refused?.outcome, more], ['error', []])
  assert.equal((await store.read('b'))?.version, 2)
})

test('a session that only the old master had is restored, with its indexes', async (t) => {
  const { store, promote, failOver } = await setUp(t)
  await promote()
  await create(store, 'a', { indexes: ['subject'] })
  await store.replace('a', sealedAs('second'), 1)

  failOver()

  assert.equal((await store.read('a'))?.version, 2)
  assert.equal((await store.destroyBy('subject')).length, 1)
})

test('a gateway that reconnects first waits for a session that another gateway will restore', async (t) => {
  const { store, other, promote, failOver } = await setUp(t)
  await promote()
  await create(store, 'a')
  await create(store, 'b')

  other.failOver()
  await until(async () => (await other.store.lock('a', MINUTE)).outcome === 'recovering')
  const read = other.store.read('a')
  const replaced = other.store.replace('b', sealedAs('second'), 1)
  failOver()

  assert.equal((await read)?.version, 1)
  assert.deepEqual(await replaced, { outcome: 'replaced', version: 2 })
})

test('a session that is restored after its logout stays ended', async (t) => {
  const { store, other, promote, failOver } = await setUp(t)
  await promote()
  await create(store, 'a')
  await create(store, 'b', { indexes: ['subject'] })

  other.failOver()
  await until(async () => (await other.store.lock('a', MINUTE)).outcome === 'recovering')
  const destroyed = Promise.all([other.store.destroy('a'), other.store.destroyBy('subject')])
  failOver()

  const [record, ended] = await destroyed
  assert.deepEqual([record?.version, ended], [1, ['b']])
  assert.deepEqual(await Promise.all([store.read('a'), store.read('b')]), [undefined, undefined])
})

test('no gateway waits for the restoration of an ended session', async (t) => {
  const { other, promote } = await setUp(t)
  await create(other.store, 'a')
  await promote()
  await other.store.destroy('a')

  other.failOver()

  assert.equal(await other.store.read('a'), undefined)
  assert.equal((await other.store.lock('a', MINUTE)).outcome, 'recovering', 'it was waited for')
  assert.deepEqual(await other.store.replace('a', sealedAs('second'), 1), { outcome: 'gone' })
})

test('a session that another gateway has renewed keeps the newer tokens', async (t) => {
  const { store, other, promote, failOver } = await setUp(t)
  await create(store, 'a')
  await promote()
  await store.replace('a', sealedAs('lost'), 1)
  other.failOver()
  await other.store.replace('a', sealedAs('theirs'), 1)
  await other.store.replace('a', sealedAs('theirs, newer'), 2)

  failOver()

  assert.deepEqual((await store.read('a'))?.sealed, sealedAs('theirs, newer'))
})

test('tokens that derive from lost ones are stored at once, and stay when the lost ones are restored', async (t) => {
  const { store, other, promote, failOver } = await setUp(t)
  await create(store, 'a')
  await promote()
  await store.replace('a', sealedAs('lost'), 1)
  other.failOver()

  const result = await other.store.replace('a', sealedAs('newest'), 2)

  assert.deepEqual(result, { outcome: 'replaced', version: 3 })
  failOver()
  assert.deepEqual((await store.read('a'))?.sealed, sealedAs('newest'))
})

test('a session that ended at the old master stays ended, even if another gateway restores it', async (t) => {
  const { store, other, promote, failOver } = await setUp(t)
  await create(store, 'a', { indexes: ['subject'] })
  await promote()
  await store.replace('a', sealedAs('second'), 1)
  await other.store.destroy('a')

  failOver()
  assert.equal((await store.read('a'))?.version, 2)
  other.failOver()

  await until(async () => !(await store.read('a')))
  assert.equal((await other.store.destroyBy('subject')).length, 0)
})

test('a session that ended at the new master is not restored', async (t) => {
  const { store, other, promote, failOver } = await setUp(t)
  await create(store, 'a')
  await promote()
  await store.replace('a', sealedAs('second'), 1)
  other.failOver()
  assert.equal((await other.store.destroy('a'))?.version, 1)

  failOver()

  assert.equal(await store.read('a'), undefined)
})

test('a lock released at the old master is released at the new one, and a held one stays held', async (t) => {
  const { store, promote, failOver, fresh } = await setUp(t)
  const released = await acquire(store, 'released')
  await promote()
  await released.release()
  await acquire(store, 'held')
  await (await acquire(store, 'failed')).backOff(HOUR)
  assert.equal(await fresh.exists('bff:{released}:lock'), 1)

  failOver()

  await store.read('any')
  assert.equal(await fresh.exists('bff:{released}:lock'), 0)
  assert.equal(await fresh.exists('bff:{held}:lock'), 1)
  assert.equal(await fresh.get('bff:{failed}:lock'), 'backing-off')
  assert.equal(await fresh.get('bff:{failed}:failures'), '1')
})

test('a marker added at the old master can not be added again at the new one', async (t) => {
  const { store, promote, failOver } = await setUp(t)
  await promote()
  assert.equal(await store.addMarker('once', HOUR), true)

  failOver()

  assert.equal(await store.addMarker('once', HOUR), false)
})

test('a session that a single Redis has lost in a restart has ended', async (t) => {
  const { store, promote, failOver } = await setUp(t, { hasReplicas: false })
  await promote()
  await create(store, 'a')

  failOver()

  assert.equal(await store.read('a'), undefined)
})

test('while one gateway restores data, another gets no lock', async (t) => {
  const { store, other, promote, failOver } = await setUp(t)
  await create(store, 'a')
  await promote()
  await store.replace('a', sealedAs('second'), 1)

  other.failOver()
  assert.equal((await other.store.lock('a', MINUTE)).outcome, 'recovering')
  failOver()

  await until(async () => (await other.store.lock('a', MINUTE)).outcome === 'acquired')
  assert.equal((await other.store.read('a'))?.version, 2)
})

test("data missing at a Cluster slot's new master is restored, and locks wait for that", async (t) => {
  const { url, servers, close } = await startCluster()
  const store = openStore(url, { storeTimeoutMs: MINUTE })
  t.after(async () => {
    await store.close()
    await close()
  })
  await create(store, 'a', { indexes: ['subject'] })
  await store.replace('a', sealedAs('second'), 1)
  await create(store, 'other')

  await moveSlot(servers, 'bff:{a}:record')

  await until(async () => (await store.read('a'))?.version === 2)
  assert.equal((await store.lock('a', MINUTE)).outcome, 'recovering')
  await acquire(store, 'other')
  await until(async () => (await store.lock('a', MINUTE)).outcome === 'acquired')
  assert.deepEqual((await store.read('a'))?.sealed, sealedAs('second'))
})

/** The permissions in the document are enough for restoring. */
function documentedPermissions(): string {
  const document = readFileSync(resolve(import.meta.dirname, '../../docs/redis.md'), 'utf8')
  return /ACL SETUSER gateway on >password (.*)/.exec(document)?.[1] ?? assert.fail()
}

/** Moves the slot of `key` to another master, without its data. */
async function moveSlot(servers: RedisServer[], key: string): Promise<void> {
  const slot = Number((await servers[0]?.send(`CLUSTER KEYSLOT ${key}`))?.slice(1))
  const ids = await Promise.all(
    servers.map(async ({ send }) => (await send('CLUSTER MYID')).split('\r\n')[1]),
  )
  const owner = Math.floor(slot / Math.ceil(16_384 / servers.length))
  const to = (owner + 1) % servers.length
  const keys = (await servers[owner]?.send(`CLUSTER GETKEYSINSLOT ${slot} 100`))?.split('\r\n') ?? []
  await servers[owner]?.send(`DEL ${keys.filter((name) => name.startsWith('bff:')).join(' ')}`)
  for (const { send } of [servers[to], servers[owner], ...servers] as RedisServer[]) {
    await send(`CLUSTER SETSLOT ${slot} NODE ${ids[to]}`)
  }
}

/** Two gateways' stores on a master with a replica, each of which notices a failover on its own. */
async function setUp(t: TestContext, { hasReplicas = true } = {}) {
  const config = [`user gateway on >secret ${documentedPermissions()}`]
  const master = await startRedis({ config: ['repl-diskless-sync-delay 0', ...config] })
  const replica = await startRedis({ config: [`replicaof 127.0.0.1 ${master.port}`, ...config] })
  const [one, other] = await Promise.all([gateway(master), gateway(master)])
  const fresh = connectRedis(parseRedisUrl(replica.url))
  t.after(async () => {
    await Promise.all([one.close(), other.close(), fresh.close()])
    await Promise.all([master.close(), replica.close()])
  })
  await fresh.ready()
  await until(async () =>
    String(await fresh.client.call('INFO', 'replication')).includes('master_link_status:up'),
  )

  return {
    ...one,
    other,
    fresh: fresh.client,
    /** From now on writes to the master are acknowledged, but lost. */
    async promote() {
      await one.store.put('last', sealedAs('last'), HOUR)
      await until(() => fresh.client.exists('bff:{last}:record'))
      await fresh.client.replicaof('NO', 'ONE')
    },
  }

  async function gateway(server: RedisServer) {
    const network: Network = await startNetwork(server.port)
    const target = parseRedisUrl(`redis://gateway:secret@127.0.0.1:${network.port}`)
    const connection = { ...connectRedis(target), hasReplicas }
    const tried: PutBackTry[] = []
    const report = { putBack: (tries: PutBackTry[]) => void tried.push(...tries) }
    const store = createRedisStore({ connection, storeTimeoutMs: MINUTE, report })
    await store.read('any')
    return {
      store,
      tried,
      failOver: () => network.redirect(replica.port),
      async close() {
        await store.close()
        await network.close()
      },
    }
  }
}
