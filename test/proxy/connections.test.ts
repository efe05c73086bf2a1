import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { closed } from '../support/closed.ts'
import { until } from '../support/until.ts'
import {
  errorCode,
  goes,
  ok,
  open,
  signIn,
  startGateway,
  startTcpUpstream,
  startUpstream,
} from './support.ts'

test('an upstream gets at most its limit of connections, and every request is answered', async (t) => {
  let underWay = 0
  let most = 0
  const upstream = await startUpstream(t, (arrival) => {
    most = Math.max(most, ++underWay)
    setImmediate(() => {
      underWay--
      ok(arrival)
    })
  })
  const gateway = await startGateway(t, [{ target: upstream.url, connections: 3 }])
  const calls = Array.from({ length: 30 }, (_, i) => {
    return i % 2 ? gateway.call('/api/x', { method: 'POST', body: 'x' }) : gateway.call('/api/x')
  })
  assert.ok((await Promise.all(calls)).every(({ status }) => status === 200))
  assert.equal(upstream.arrivals.length, 30)
  assert.ok(most <= 3, `${most} at a time`)
  assert.ok(upstream.connections() <= 3, `${upstream.connections()} connections`)
})

test('a request that gets no free connection in time: 504, and nothing is sent', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => response.writeHead(200).write('begun'))
  const gateway = await startGateway(t, [{ target: upstream.url, connections: 1, timeoutMs: 2000 }])
  const outgoing = open(gateway.port, '/api/stream')
  outgoing.on('error', () => {}).end()
  await once(outgoing, 'response')

  const reply = await gateway.call('/api/x')

  assert.deepEqual([reply.status, errorCode(reply)], [504, 'BFF_UPSTREAM_TIMEOUT'])
  assert.equal(upstream.arrivals.length, 1)
  outgoing.destroy()
})

test('a stream closed by its browser frees its connection for a waiting request', async (t) => {
  const upstream = await startUpstream(t, (arrival) => {
    if (arrival.url === '/stream') arrival.response.writeHead(200).write('begun')
    else ok(arrival)
  })
  const gateway = await startGateway(t, [{ target: upstream.url, connections: 1 }])
  const outgoing = open(gateway.port, '/api/stream')
  outgoing.on('error', () => {}).end()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  incoming.on('error', () => {})
  const gone = open(gateway.port, '/api/gone')
  gone.on('error', () => {}).end()
  await until(() => gateway.sockets.length === 2)
  const reply = gateway.call('/api/x')
  await until(() => gateway.sockets.length === 3)
  await goes(gateway, gone)

  outgoing.destroy()

  assert.equal((await reply).status, 200)
  // A request whose browser left while it waited was never sent.
  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    ['/stream', '/x'],
  )
})

for (const [what, answer] of [
  ['an error', 500],
  ['nothing', 204],
] as const) {
  test(`after ${what} the connection serves the next request`, async (t) => {
    const upstream = await startUpstream(t, ({ response }) => response.writeHead(answer).end())
    const gateway = await startGateway(t, [{ target: upstream.url, connections: 1 }])
    for (const method of ['GET', 'POST', 'GET']) {
      assert.equal((await gateway.call('/api/x', { method })).status, answer)
    }
    assert.equal(upstream.connections(), 1)
  })
}

test('a replay after 401 does not wait for the connection of the first attempt', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const tokens = new Set<string | undefined>()
  const upstream = await startUpstream(t, (arrival) => {
    tokens.add(arrival.headers.authorization)
    if (tokens.size === 1) arrival.response.statusCode = 401
    ok(arrival)
  })
  const wanted = { target: upstream.url, token: 'user' as const, connections: 1 }
  const gateway = await startGateway(t, [wanted], { issuer })
  const { status } = await gateway.call('/api/x', { headers: { cookie: await signIn(gateway) } })
  assert.deepEqual([status, upstream.arrivals.length, upstream.connections()], [200, 2, 1])
})

test('an unused connection is closed after keepAliveTimeout, even if the upstream would keep it longer', async (t) => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=600\r\n\r\n'
  const upstream = await startTcpUpstream(t, (socket) => socket.write(answer))
  const gateway = await startGateway(t, [{ target: upstream.url, keepAliveTimeoutMs: 1000 }])
  await gateway.call('/api/x')
  const [socket = assert.fail()] = upstream.sockets
  await closed(socket)
  await gateway.call('/api/x')
  assert.equal(upstream.sockets.length, 2)
})
