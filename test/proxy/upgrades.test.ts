import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { startApplication } from '../plugin/support.ts'
import { closed } from '../support/closed.ts'
import { until } from '../support/until.ts'
import { replyOf, startTlsGateway } from '../tls/support.ts'
import { errorCode, exchange, startGateway, startTcpUpstream, startUpstream } from './support.ts'

const upgrade = ['Connection: Upgrade', 'Upgrade: websocket']

/** Requests to this gateway, or to an application. */
function requestsTo({ url }: { url: string }) {
  const { host } = new URL(url)
  return (path: string, ...headers: string[]) =>
    `${[`GET ${path} HTTP/1.1`, `Host: ${host}`, 'x-csrf: 1', ...headers].join('\r\n')}\r\n\r\n`
}

/** To applications. */
const get = requestsTo({ url: 'http://localhost:3000' })

/** The statuses of all answers, until the connection closes. */
function statuses(answers: string): number[] {
  return [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))
}

async function talkTls(port: number, bytes: string): Promise<string> {
  const options = { port, host: '127.0.0.1', servername: 'localhost', ALPNProtocols: ['http/1.1'] }
  const socket = connectTls({ ...options, rejectUnauthorized: false })
  socket.write(bytes)
  return Buffer.concat(await socket.toArray()).toString()
}

test('an upgrade pipelined behind an unanswered request is answered like a request without upgrade', async (t) => {
  const upstream = await startUpstream(t)
  const plain = await startGateway(t, [{ target: upstream.url }])
  const tls = await startTlsGateway(t, [{ target: upstream.url }])
  for (const path of ['/healthz', '/api/x', '/nothing']) {
    // Node loses later bytes of the same packet, so that answer is the last.
    const bytesFor = (gateway: { url: string }) => {
      const get = requestsTo(gateway)
      return get(path) + get('/api/x', ...upgrade) + get('/healthz')
    }
    const expected = [path === '/nothing' ? 404 : 200, 200]
    const answers = await exchange(plain.port, bytesFor(plain))
    assert.deepEqual(statuses(answers), expected, path)
    assert.match(answers, /\r\nconnection: close\r\n/i)
    assert.deepEqual(statuses(await talkTls(tls.port, bytesFor(tls))), expected, path)
  }
})

test('an upgrade with a body, over HTTP/1.0, or for another protocol is answered like a request without upgrade', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const { port } = gateway
  const get = requestsTo(gateway)
  const http10 = get('/api/x', ...upgrade).replace('HTTP/1.1', 'HTTP/1.0')
  const h2c = get('/api/x', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMA')
  const withBody = `${get('/api/x', ...upgrade, 'Content-Length: 4')}body`
  const chunked = `${get('/api/x', ...upgrade, 'Transfer-Encoding: chunked')}1\r\na\r\n0\r\n\r\n`
  for (const bytes of [http10, withBody, chunked, h2c + get('/api/x')]) {
    assert.deepEqual(statuses(await exchange(port, bytes)), [200], bytes)
  }
})

test('a connection is kept after a request that offered h2c', async (t) => {
  const { port } = await startGateway(t, [])
  const socket = connect(port, '127.0.0.1')
  socket.write(get('/healthz', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMA'))
  const [first] = await once(socket, 'data')
  assert.match(String(first), /^HTTP\/1\.1 200 /)
  assert.doesNotMatch(String(first), /connection: close/i)
  socket.write(get('/healthz', 'Connection: close'))
  assert.deepEqual(statuses(Buffer.concat(await socket.toArray()).toString()), [200])
})

test('an upgrade to a path without WebSockets is answered, and later bytes are not read', async (t) => {
  const { port } = await startGateway(t, [{ target: 'http://127.0.0.1:9' }])
  for (const path of ['/healthz', '/nothing', '/bff/user']) {
    const answer = await exchange(port, get(path, ...upgrade) + get('/healthz').repeat(100))
    assert.equal(statuses(answer).length, 1, answer)
    assert.match(answer, /\r\nconnection: close\r\n/i)
  }
})

test('CONNECT is answered 405 in JSON', async (t) => {
  const plain = await startGateway(t, [])
  const tls = await startTlsGateway(t, [])
  const bytes = 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n'
  for (const answer of [await exchange(plain.port, bytes), await talkTls(tls.port, bytes)]) {
    assert.match(answer, /^HTTP\/1\.1 405 .*"BFF_METHOD_NOT_ALLOWED"/s)
  }
  const session = await tls.connect()
  const { status, text } = await replyOf(
    session.request({ ':method': 'CONNECT', ':authority': 'localhost:80' }),
  )
  assert.deepEqual([status, errorCode({ text })], [405, 'BFF_METHOD_NOT_ALLOWED'])
})

const refused = {
  CONNECT: ['CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n', 405],
  'no HTTP': ['nonsense\r\n\r\nmore of it\r\n\r\n', 400],
} as const

for (const [what, [bytes, status]] of Object.entries(refused)) {
  test(`${what} behind unanswered requests does not lose their answers`, async (t) => {
    // More than fits into a socket, so that the answer waits for its client.
    const body = 'x'.repeat(8_000_000)
    const upstream = await startUpstream(t, () => {})
    const gateways = [
      [await startGateway(t, [{ target: upstream.url }]), exchange],
      [await startTlsGateway(t, [{ target: upstream.url }]), talkTls],
    ] as const
    for (const [gateway, talk] of gateways) {
      const get = requestsTo(gateway)
      const answers = talk(gateway.port, get('/api/x') + get('/healthz') + bytes)
      const { response } = await upstream.nextArrival()
      response.end(body)
      const all = await answers
      assert.deepEqual(statuses(all), [200, 200, status])
      assert.ok(all.includes(body))
    }
  })

  test(`${what} behind a request whose client has disconnected keeps no connection open`, async (t) => {
    const upstream = await startUpstream(t, () => {})
    const gateway = await startGateway(t, [{ target: upstream.url }])
    const client = connect({ port: gateway.port, host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => {}).write(requestsTo(gateway)('/api/x') + bytes)
    const { response } = await upstream.nextArrival()
    const gone = closed(response)
    client.end()
    await Promise.all([gone, closed(client.resume())])
  })
}

/** Resets the connections of upgrades while a hook holds them. Uncaught errors fail the test. */
async function resetWhileHeld(
  app: FastifyInstance,
  port: number,
  open: (port: number, bytes: string) => Socket,
): Promise<void> {
  for (const path of ['/api/x', '/nothing']) {
    const served = once(app.server, 'upgrade') as Promise<[IncomingMessage, Socket]>
    const client = open(port, get(path, ...upgrade))
    client.on('error', () => {})
    const [, socket] = await served
    const gone = closed(socket)
    client.resetAndDestroy()
    await gone
  }
}

test('in an application an upgrade that is reset while a hook holds it affects nothing else', async (t) => {
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  t.after(() => release())
  const { app } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: 'http://127.0.0.1:9', token: 'none' }] },
    before: (app) => void app.addHook('onRequest', () => held),
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo

  await resetWhileHeld(app, port, (port, bytes) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(bytes)
    return socket
  })
})

test('in an application an upgrade behind an unanswered request does not disturb its answer, on every address', async (t) => {
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const { app } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: 'http://127.0.0.1:9', token: 'none' }] },
    routes: (app) => void app.get('/slow', () => held.then(() => 'at last')),
  })
  // Fastify creates a separate server for each address.
  await app.listen({ port: 0, host: 'localhost' })
  const answers = addressesOf(app).map(async ({ port, address }) => {
    const socket = connect(port, address)
    socket.write(get('/slow') + get('/api/x', ...upgrade))
    let all = ''
    socket.on('data', (chunk) => {
      all += chunk
      if (all.includes('at last')) socket.end()
    })
    await closed(socket)
    return all
  })
  // Sent after the other bytes, so those have been read by then.
  for (const { port, address } of addressesOf(app)) await exchangeAt(port, address)
  release()

  for (const answer of await Promise.all(answers)) assert.match(answer, /^HTTP\/1\.1 200 .*at last/s)
})

function addressesOf(app: FastifyInstance): AddressInfo[] {
  return app.addresses() as AddressInfo[]
}

async function exchangeAt(port: number, address: string): Promise<void> {
  const socket = connect(port, address)
  socket.write(get('/nothing', 'Connection: close'))
  await socket.toArray()
}

test('a closing application does not wait for event streams, even for ones that start during closing', async (t) => {
  const upstream = await startUpstream(t, ({ url, response }) => {
    if (url === '/late') return
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  const { app } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: upstream.url, token: 'none' }] },
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const open = (path: string) => {
    const socket = connect(port, '127.0.0.1')
    t.after(() => socket.destroy())
    socket.write(get(path))
    return socket
  }
  const late = open('/api/late')
  const { response } = await upstream.nextArrival()
  const stream = open('/api/events')
  await once(stream, 'data')
  const rest = stream.toArray()

  const closing = app.close()
  const [end] = await rest
  assert.match(String(end), /(^|\r\n)0\r\n\r\n$/)
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  const answer = Buffer.concat(await late.toArray()).toString()
  await closing

  assert.match(answer, /^HTTP\/1\.1 200 .*\r\n0\r\n\r\n$/s)
})

test('an application keeps its own upgrade handlers', async (t) => {
  const { app } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: 'http://127.0.0.1:9', token: 'none' }] },
    before: (app) =>
      void app.server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
        if (request.url === '/own') socket.end('HTTP/1.1 101 Switching Protocols\r\nX-Own: 1\r\n\r\n')
      }),
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo

  assert.match(await exchange(port, get('/own', ...upgrade)), /^HTTP\/1\.1 101 .*X-Own: 1/s)
  for (const path of ['/api/x', '/%61pi/x', '/api']) {
    assert.match(await exchange(port, get(path, ...upgrade)), /^HTTP\/1\.1 403 .*BFF_CSRF_REJECTED/s)
  }
})

test('an upgrade that another listener handles is not touched', async (t) => {
  const upstream = await startUpstream(t)
  const { app } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: upstream.url, token: 'none' }] },
    // As @fastify/websocket does.
    before: (app) =>
      void app.server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
        const response = new ServerResponse(request)
        response.shouldKeepAlive = false
        response.assignSocket(socket)
        response.on('finish', () => socket.end())
        app.routing(request, response)
      }),
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const answer = await exchange(port, get('/nothing', ...upgrade))
  assert.deepEqual(statuses(answer), [404])
})

test('a WebSocket that is not open yet when closing starts is refused with 503', async (t) => {
  const upstream = await startTcpUpstream(t, () => {})
  const { app } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: upstream.url, token: 'none' }] },
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const key = `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}`
  const handshake = [...upgrade, key, 'Sec-WebSocket-Version: 13', 'Origin: http://localhost:3000']
  const answer = exchange(port, get('/api/socket', ...handshake))
  await until(() => upstream.requests() === 1)
  await app.close()
  assert.match(await answer, /^HTTP\/1\.1 503 .*retry-after: 1\r\n.*"BFF_SHUTTING_DOWN"/s)
})
