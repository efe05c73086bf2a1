import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startInjectGateway } from '../support/inject-gateway.ts'
import {
  type RedisTopology,
  startCluster,
  startSentinel,
  startSingle,
  type TopologyOptions,
} from '../support/redis-topologies.ts'
import { until } from '../support/until.ts'
import { storeContract } from './contract.ts'
import { acquire, create, sealedAs } from './contract-support.ts'
import { openStore, redisUnderTest } from './redis-support.ts'

/** The commands of the document, in its order: for all, for another database, for a Cluster. */
const document = readFileSync(resolve(import.meta.dirname, '../../docs/redis.md'), 'utf8')
const [basic = '', withDatabase = '', inCluster = ''] = [
  ...document.matchAll(/```redis\nACL SETUSER gateway (.*)\n```/g),
].map(([, rules = '']) => rules)

const topologies = {
  'a single Redis': { start: startSingle, more: withDatabase, options: { database: 2 } },
  'a Sentinel set': { start: startSentinel, more: withDatabase, options: { database: 2 } },
  'a Cluster': { start: startCluster, more: inCluster, options: {} },
}

for (const [name, { start, more, options }] of Object.entries(topologies)) {
  describe(`a user with the documented permissions only, on ${name}`, () => {
    let topology: RedisTopology
    before(async () => {
      topology = await startFor(`${basic} ${more}`, start, options)
    })
    after(() => topology.close())

    storeContract(
      name,
      redisUnderTest(
        () => topology.url,
        () => topology.url.replace(/\/\/.*@/, '//'),
      ),
    )

    test('the whole gateway works, and Redis refuses nothing', async (t) => {
      const { app, newBrowser, log } = await startInjectGateway(t, { env: { REDIS_URL: topology.url } })
      const browser = newBrowser()
      await browser.signIn()
      await newBrowser().signIn()
      assert.equal((await browser.call('/bff/user')).statusCode, 200)
      const out = await browser.open('/bff/logout', { 'sec-fetch-site': 'same-origin' })
      assert.equal(out.statusCode, 302)
      assert.equal((await app.inject('/readyz')).json().status, 'ready')
      assert.doesNotMatch(log(), /store\.\w+_refused/)
      for (const server of topology.servers) assert.equal(await server.send('ACL LOG'), '*0\r\n')
    })
  })
}

test('without permission for the channel everything is stored, and log and readiness report it once', async (t) => {
  const { url, close } = await startFor('on >password resetchannels ~bff:* +@all', startSingle)
  t.after(close)
  const { app, newBrowser, log } = await startInjectGateway(t, { env: { REDIS_URL: url } })
  const browser = newBrowser()
  await browser.signIn()
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  const refusals = () => log().match(/"event":"store\.channel_refused"/g)?.length ?? 0
  await until(() => refusals() > 0)

  const ready = await app.inject('/readyz')

  assert.equal(ready.statusCode, 200)
  assert.match(ready.json().warnings.join(), /the channel bff:changed is refused/)
  assert.equal((await browser.open('/bff/logout', { 'sec-fetch-site': 'same-origin' })).statusCode, 302)
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
  assert.equal(refusals(), 1)
  assert.match(log(), /grant &bff:changed \+publish \+subscribe/)
})

for (const [what, rules] of Object.entries({
  'the channel': 'resetchannels +@all',
  PUBLISH: '&bff:changed +@all -publish',
  SUBSCRIBE: '&bff:changed +@all -subscribe',
})) {
  test(`without permission for ${what} every write succeeds and returns its result`, async (t) => {
    const { url, close } = await startFor(`on >password ~bff:* ${rules}`, startSingle)
    t.after(close)
    const store = openStore(url)
    t.after(() => store.close())
    await create(store, 'a', { indexes: ['subject'] })
    assert.deepEqual(await store.replace('a', sealedAs('second'), 1), { outcome: 'replaced', version: 2 })
    const lock = await acquire(store, 'a')
    await lock.backOff(1)
    await (await acquire(store, 'b')).release()
    await acquire(store, 'b')
    assert.ok(await store.destroy('a'))
    assert.equal(await store.read('a'), undefined)
  })
}

test('a channel permission granted later is used from then on', async (t) => {
  const topology = await startFor('on >password resetchannels ~bff:* +@all', startSingle)
  t.after(() => topology.close())
  const { app, log } = await startInjectGateway(t, { env: { REDIS_URL: topology.url } })
  await until(() => /store\.channel_refused/.test(log()))

  await topology.servers[0]?.send('ACL SETUSER gateway &bff:changed')
  // Instead of waiting for the next attempt.
  await topology.servers[0]?.send('CLIENT KILL TYPE normal SKIPME yes')

  await until(() => /store\.channel_granted/.test(log()))
  assert.deepEqual(app.storeWarnings(), [])
})

async function startFor(
  rules: string,
  start: (options: TopologyOptions) => Promise<RedisTopology>,
  options: TopologyOptions = {},
): Promise<RedisTopology> {
  return start({ ...options, config: [`user gateway ${rules}`], login: 'gateway:password' })
}
