import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { parseRedisUrl } from '../../config/index.ts'
import type { RedisAccess } from '../../plugins/session-store/redis-client.ts'
import { connectRedis } from '../../plugins/session-store/redis-connection.ts'
import { createRedisLog } from '../../plugins/session-store/redis-log.ts'
import { certificateAuthority } from '../support/certificate.ts'
import { freePort } from '../support/free-port.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../support/redis.ts'
import { startCluster, startSentinel, startSingle } from '../support/redis-topologies.ts'
import { until } from '../support/until.ts'

interface Line extends Record<string, unknown> {
  level: 'info' | 'warn'
  event: string
  reason?: string
  message: string
}

test('a Redis that is down at the start is logged once, and again when it is connected', async (t) => {
  const port = await freePort()
  const { client, lines, connected } = connect(t, `redis://user:s3cret@127.0.0.1:${port}`)
  assert.deepEqual(connected, [false])
  for (let tries = 0; tries < 4; tries++) await once(client, 'error')

  const reason = `connect ECONNREFUSED 127.0.0.1:${port}`
  const redis = `127.0.0.1:${port}`
  const message = `Redis can not be reached: ${reason}`
  assert.deepEqual(lines, [{ level: 'warn', event: 'store.unreachable', redis, reason, message }])

  await start(t, { port, config: ['user user on >s3cret ~* +@all'] })
  await until(() => lines.length > 1)
  assert.deepEqual(lines.slice(1), [
    { level: 'info', event: 'store.connected', redis, message: 'Connected to Redis' },
  ])
  assert.deepEqual(connected, [false, false, true])
})

test('the log has the loss of a connection, why no other can be made, and the reconnection', async (t) => {
  const redis = await start(t)
  const { client, lines, connected } = connect(t, redis.url)
  await until(() => lines.length === 1)

  await redis.kill()
  for (let tries = 0; tries < 3; tries++) await once(client, 'error')
  await redis.restart()
  await until(() => lines.at(-1)?.event === 'store.connected' && lines.length > 1)

  assert.deepEqual(
    lines.map(({ event }) => event),
    ['store.connected', 'store.disconnected', 'store.unreachable', 'store.connected'],
  )
  assert.equal(connected.at(-1), true)
})

for (const start of [startSingle, startSentinel, startCluster]) {
  test(`a connection that is closed on purpose is not logged as lost (${start.name})`, async (t) => {
    const topology = await start()
    t.after(topology.close)
    const { lines, close, client } = connect(t, topology.url)
    await until(() => lines.some(({ event }) => event === 'store.connected'))
    const before = lines.length

    const ended = new Promise((resolve) => client.once('end', resolve))
    await Promise.all([close(), ended])

    assert.deepEqual(lines.slice(before), [])
  })
}

test('a peer that stopped answering is logged as such', async (t) => {
  const redis = await start(t)
  const { lines } = connect(t, redis.url)
  await until(() => lines.length === 1)
  redis.pause()
  await until(() => lines.length > 1)
  redis.resume()
  assert.match(lines[1]?.reason ?? '', /Socket timeout/)
})

const authority = certificateAuthority()

/** Faults, as URLs after the scheme, with the logged reason. */
const faults: Record<string, { server?: RedisServerOptions; login?: string; tls?: boolean; reason: RegExp }> =
  {
    'a wrong password': { server: { password: 'right' }, login: ':wr0ng@', reason: /WRONGPASS/ },
    'no password': { server: { password: 'right' }, reason: /NOAUTH/ },
    'an unknown user': { login: 'unknown:wr0ng@', reason: /WRONGPASS|unknown command 'sentinel'/ },
    'a certificate that is not trusted': {
      server: { tls: { ca: authority.cert, ...authority.issue('127.0.0.1') } },
      tls: true,
      reason: /self-signed certificate in certificate chain|unable to verify the first certificate/,
    },
    'TLS to a server without': { tls: true, reason: /does the server speak TLS\?/ },
    'no TLS to a server with it': {
      server: { tls: { ca: authority.cert, ...authority.issue('127.0.0.1') } },
      reason: /does it expect TLS\?|ECONNRESET|EPIPE/,
    },
  }

for (const [what, { server, login = '', tls = false, reason }] of Object.entries(faults)) {
  for (const scheme of ['redis', 'sentinel', 'cluster']) {
    test(`${what} is the logged reason (${scheme})`, async (t) => {
      const { port } = await start(t, server)
      const path = scheme === 'sentinel' ? '/sessions' : ''
      const { lines } = connect(t, `${scheme}${tls ? 's' : ''}://${login}127.0.0.1:${port}${path}`)

      await until(() => lines.length > 0)

      assert.equal(lines[0]?.event, 'store.unreachable')
      assert.match(lines[0]?.reason ?? '', reason)
      assert.doesNotMatch(JSON.stringify(lines), /wr0ng/)
    })
  }
}

for (const scheme of ['redis', 'sentinel', 'cluster']) {
  const path = scheme === 'sentinel' ? '/sessions' : ''

  test(`an unreachable or unknown host is logged (${scheme})`, async (t) => {
    const refused = connect(t, `${scheme}://127.0.0.1:${await freePort()}${path}`)
    const unknown = connect(t, `${scheme}://redis.invalid${path}`)
    await until(() => refused.lines.length > 0 && unknown.lines.length > 0)
    assert.match(refused.lines[0]?.reason ?? '', /ECONNREFUSED/)
    assert.match(unknown.lines[0]?.reason ?? '', /ENOTFOUND|EAI_AGAIN/)
  })

  test(`a server that accepts connections and does not answer is logged (${scheme})`, async (t) => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    t.after(() => silent.close())
    const { port } = silent.address() as { port: number }
    const { lines } = connect(t, `${scheme}://127.0.0.1:${port}${path}`)
    await until(() => lines.length > 0)
    assert.match(lines[0]?.reason ?? '', /no answer|timed out|Socket timeout/i)
  })
}

test('a master that the Sentinels do not know is logged', async (t) => {
  const { url, close } = await startSentinel()
  t.after(close)
  const { lines } = connect(t, url.replace('/sessions', '/others'))
  await until(() => lines.length > 0)
  assert.match(lines[0]?.reason ?? '', /know no master of this name|No such master/)
})

test('a missing database is logged, and no other is used instead', async (t) => {
  const { url, servers, close } = await startSingle({ database: 99 })
  t.after(close)
  const { client, lines, ready } = connect(t, url)
  for (let tries = 0; tries < 3; tries++) await once(client, 'error')
  assert.deepEqual(
    lines.map(({ reason }) => reason),
    ['ERR DB index is out of range'],
  )
  await assert.rejects(ready())
  assert.doesNotMatch((await servers[0]?.send('INFO keyspace')) ?? '', /db0/)
})

test('a user without permission for INFO is logged, and nothing is printed to the console', async (t) => {
  const printed = (['log', 'warn', 'error'] as const).map((name) => t.mock.method(console, name, () => {}))
  const { url, close } = await startSingle({
    config: ['user gateway on >pw ~bff:* &bff:changed +@all -info'],
    login: 'gateway:pw',
  })
  t.after(close)
  const { client, lines } = connect(t, url)
  await until(() => lines.some(({ event }) => event === 'store.connected'))
  assert.equal(await client.set('bff:claim:x', '1', 'PX', 1000), 'OK')
  assert.deepEqual(
    lines.map(({ event }) => event),
    ['store.info_refused', 'store.connected'],
  )
  assert.match(lines[0]?.message ?? '', /grant \+info/)
  assert.ok(printed.every(({ mock }) => mock.callCount() === 0))
})

for (const [what, config] of [
  ['', []],
  [' whose user may not use INFO', ['user default on nopass ~* &* +@all -info']],
] as const)
  test(`a replica${what} is told once, however often it refuses to write, and again every ten minutes`, async (t) => {
    const master = await start(t)
    const replica = await start(t, { config: [`replicaof 127.0.0.1 ${master.port}`, ...config] })
    let now = 0
    const { client, lines, connected, ready } = connect(t, replica.url, {}, () => now)
    const refuseToWrite = async () => {
      await ready()
      const closing = once(client, 'close')
      await assert.rejects(client.set('bff:claim:x', '1', 'PX', 1000), /READONLY/)
      await closing
    }
    const readOnly = () => lines.filter(({ event }) => event === 'store.read_only').length

    for (let times = 0; times < 4; times++) await refuseToWrite()
    const told = lines.filter(({ event }) => !['store.connected', 'store.info_refused'].includes(event))
    assert.deepEqual(
      told.map(({ level, event }) => [level, event]),
      [['warn', 'store.read_only']],
    )
    assert.ok(lines.filter(({ event }) => event === 'store.connected').length <= 1)
    assert.ok(connected.includes(false))

    for (now = 50_000; now < 10 * 60_000; now += 50_000) await refuseToWrite()
    assert.equal(readOnly(), 1)
    await refuseToWrite()
    assert.equal(readOnly(), 2)
  })

test('a replica that becomes the master is told as a Redis that is there', async (t) => {
  const master = await start(t)
  const replica = await start(t, { config: [`replicaof 127.0.0.1 ${master.port}`] })
  const { lines, connected } = connect(t, replica.url)
  await until(() => lines.length > 0)
  await replica.send('REPLICAOF NO ONE')
  await until(() => lines.length > 1)
  assert.deepEqual(
    lines.map(({ event }) => event),
    ['store.read_only', 'store.connected'],
  )
  assert.equal(connected.at(-1), true)
})

test('writes that Redis refuses to take back after a failover are told in one line, and counted with the errors of the store', () => {
  const lines: object[] = []
  const counted: unknown[] = []
  const report = createRedisLog(
    { info() {}, warn: (fields) => void lines.push(fields) },
    parseRedisUrl('redis://user:s3cret@127.0.0.1:6379'),
    { redisConnected() {}, storeAnswered: (...what) => void counted.push(what) },
  )
  const error = new Error('WRONGTYPE')
  report.putBack([
    { outcome: 'ok', durationMs: 1 },
    { outcome: 'error', durationMs: 2, error },
    { outcome: 'unavailable', durationMs: 3, error: new Error('Connection is closed.') },
    { outcome: 'error', durationMs: 4, error },
  ])
  report.putBack([{ outcome: 'ok', durationMs: 5 }])

  assert.deepEqual(lines, [
    { event: 'store.put_back_refused', redis: '127.0.0.1:6379', writes: 2, err: error },
  ])
  assert.deepEqual(counted, [
    ['putBack', 'ok', 1],
    ['putBack', 'error', 2],
    ['putBack', 'unavailable', 3],
    ['putBack', 'error', 4],
    ['putBack', 'ok', 5],
  ])
})

function connect(t: TestContext, url: string, access: RedisAccess = {}, now?: () => number) {
  const lines: Line[] = []
  const connected: boolean[] = []
  const logTo = (level: Line['level']) => (fields: object, message: string) => {
    lines.push({ level, ...fields, message } as Line)
  }
  const target = parseRedisUrl(url)
  const log = { info: logTo('info'), warn: logTo('warn') }
  const metrics = {
    redisConnected: (isConnected: boolean) => void connected.push(isConnected),
    storeAnswered() {},
  }
  const report = createRedisLog(log, target, metrics, now)
  const connection = connectRedis(target, access, report)
  t.after(() => connection.close())
  return { ...connection, lines, connected }
}

async function start(t: TestContext, options: RedisServerOptions = {}): Promise<RedisServer> {
  const redis = await startRedis(options)
  t.after(() => redis.close())
  return redis
}
