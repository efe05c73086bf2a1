import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { parseRedisUrl } from '../../config/index.ts'
import { connectRedis, type RedisConnection } from '../../plugins/session-store/redis-connection.ts'
import { freePort } from '../support/free-port.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startCluster, startSentinel, startSingle } from '../support/redis-topologies.ts'
import { until } from '../support/until.ts'

const CHANNEL = 'bff:changed'

test('a silently dropped idle connection is replaced before a request uses it', async (t) => {
  const { port } = await start(t)
  const way = await startWay(t, port)
  const { client, ready } = open(t, `redis://127.0.0.1:${way.port}`)
  await ready()

  // Not `once` of node:events, which rejects on an earlier 'error'.
  const closed = new Promise((resolve) => client.once('close', resolve))
  way.dropSilently()
  await closed
  await until(() => client.status === 'ready')

  assert.equal(await client.ping(), 'PONG')
})

test('a silently dropped connection to a Cluster node is replaced', async (t) => {
  const port = await freePort()
  const way = await startWay(t, port)
  const cluster = ['cluster-enabled yes', `cluster-port ${await freePort()}`]
  const server = await start(t, { port, config: [...cluster, `cluster-announce-port ${way.port}`] })
  await server.send('CLUSTER ADDSLOTSRANGE 0 16383')
  await until(async () => /cluster_state:ok/.test(await server.send('CLUSTER INFO')))
  const { client, ready } = open(t, `cluster://127.0.0.1:${way.port}`)
  await until(() => ready().then(() => true))
  assert.equal(await client.set('bff:claim:a', '1'), 'OK')

  const gone = once(client, '-node')
  way.dropSilently()
  await gone
  await until(() => client.status === 'ready')

  assert.equal(await client.get('bff:claim:a'), '1')
})

for (const startTopology of [startSingle, startSentinel, startCluster]) {
  test(`every subscriber gets a message, and no heartbeat of another (${startTopology.name})`, async (t) => {
    const topology = await startTopology()
    t.after(topology.close)
    const [one, other] = [listening(t, topology.url), listening(t, topology.url)]
    await until(() => one.subscribed() > 0 && other.subscribed() > 0)

    await one.client.publish(CHANNEL, 'a session')

    await until(() => one.messages.length > 0 && other.messages.length > 0)
    assert.deepEqual([one.messages, other.messages], [['a session'], ['a session']])
  })
}

test('a silently dropped subscription is replaced, also for a user who may not publish', async (t) => {
  const redis = await start(t, { config: ['user gateway on >password ~bff:* &bff:changed +@all -publish'] })
  const way = await startWay(t, redis.port)
  const connection = listening(t, `redis://gateway:password@127.0.0.1:${way.port}`)
  await until(() => connection.subscribed() === 1)

  way.dropSilently()

  await until(() => connection.subscribed() === 2)
  await redis.send(`PUBLISH ${CHANNEL} news`)
  await until(() => connection.messages.includes('news'))
})

test('a subscription to a server without publications is moved', async (t) => {
  const [former, present] = [await start(t), await start(t)]
  const way = await startWay(t, former.port)
  const connection = listening(t, `redis://127.0.0.1:${way.port}`)
  await until(() => connection.subscribed() === 1)

  way.leadTo(present.port)
  connection.client.disconnect(true)

  await until(() => connection.subscribed() === 2)
  await present.send(`PUBLISH ${CHANNEL} news`)
  await until(() => connection.messages.includes('news'))
})

test('in a Cluster the subscription moves to another node when its own is down', async (t) => {
  const { url, servers, close } = await startCluster({ config: ['cluster-require-full-coverage no'] })
  t.after(close)
  const connection = listening(t, url)
  await until(() => connection.subscribed() > 0)
  const node = await subscribedTo(servers)

  await node.kill()

  const others = servers.filter((server) => server !== node)
  await until(() => subscribedTo(others).then(() => true))
  await others[0]?.send(`PUBLISH ${CHANNEL} news`)
  await until(() => connection.messages.includes('news'))
})

async function subscribedTo(servers: RedisServer[]): Promise<RedisServer> {
  for (const server of servers) if (/ cmd=/.test(await server.send('CLIENT LIST TYPE pubsub'))) return server
  throw new Error('None has a subscription')
}

function open(t: TestContext, url: string): RedisConnection {
  const connection = connectRedis(parseRedisUrl(url))
  t.after(() => connection.close())
  return connection
}

function listening(t: TestContext, url: string) {
  const connection = open(t, url)
  const messages: string[] = []
  let times = 0
  connection.subscribe(CHANNEL, {
    onMessage: (message) => void messages.push(message),
    onSubscribed: () => void times++,
  })
  return { ...connection, messages, subscribed: () => times }
}

async function start(t: TestContext, options = {}): Promise<RedisServer> {
  const redis = await startRedis(options)
  t.after(() => redis.close())
  return redis
}

/** A TCP proxy to a server, like a router with address translation. */
async function startWay(t: TestContext, port: number) {
  const sockets = new Set<Socket>()
  let target = port
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1')
    for (const socket of [near, far]) sockets.add(socket.on('error', () => {}))
    near.pipe(far).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  return {
    port: (server.address() as AddressInfo).port,
    /** Existing connections lose all data without being closed. New ones work. */
    dropSilently() {
      for (const socket of sockets) socket.unpipe().pause()
    },
    /** Redirects new connections. */
    leadTo(other: number) {
      target = other
    },
  }
}
