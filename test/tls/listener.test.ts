import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as https } from 'node:https'
import { connect as tcpConnect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { errorCode, exchange, startUpstream } from '../proxy/support.ts'
import { closed } from '../support/closed.ts'
import { openStream, replyOf, request, startTlsGateway, type TlsGateway } from './support.ts'

/** Asserts that the next connection is served, and no warning was logged. */
async function assertUnharmed(gateway: TlsGateway): Promise<void> {
  assert.equal((await request(await gateway.connect(), '/healthz')).status, 200)
  assert.deepEqual(
    gateway.logs.filter(({ level }) => Number(level) >= 50),
    [],
  )
}

const notTls: Record<string, string> = {
  'plain HTTP': 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'HTTP/2 without TLS': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  garbage: '\x00\xff\x17\x03nonsense\r\n\r\n',
  'a handshake that is garbage': `\x16\x03\x01\x00\x10${'\xff'.repeat(16)}`,
}

for (const [what, bytes] of Object.entries(notTls)) {
  test(`${what} has its connection closed, with a debug log line and no harm`, async (t) => {
    const gateway = await startTlsGateway(t)

    const answer = await exchange(gateway.port, bytes).catch(() => '')

    assert.doesNotMatch(answer, /HTTP/)
    assert.ok(gateway.logs.some(({ level, msg }) => level === 20 && msg === 'A TLS handshake failed'))
    await assertUnharmed(gateway)
  })
}

test('an aborted or endless handshake does no harm, and does not delay closing', async (t) => {
  const gateway = await startTlsGateway(t, [], { extras: { limits: { headersTimeoutMs: 300 } } })
  const [broken, endless] = [1, 2].map(() => tcpConnect(gateway.port, '127.0.0.1'))
  broken?.write('\x16\x03\x01')
  await once(broken ?? assert.fail(), 'connect')
  broken?.resetAndDestroy()

  await closed(endless?.resume() ?? assert.fail())

  await assertUnharmed(gateway)
})

test('TLS before 1.2 is refused', async (t) => {
  const gateway = await startTlsGateway(t)

  await assert.rejects(secured(t, gateway, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }))
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await secured(t, gateway, { minVersion: version, maxVersion: version })
    assert.equal(socket.getProtocol(), version)
  }
  await assertUnharmed(gateway)
})

test('clients that offer HTTP/2 get it, others HTTP/1.1', async (t) => {
  const gateway = await startTlsGateway(t)

  const protocols = []
  for (const offered of [['h2', 'http/1.1'], ['http/1.1'], undefined]) {
    const socket = await secured(t, gateway, offered && { ALPNProtocols: offered })
    protocols.push(socket.alpnProtocol)
  }

  assert.deepEqual(protocols, ['h2', 'http/1.1', false])
})

test('HTTP/1.1 inside of TLS has the same answers and limits as outside', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startTlsGateway(t, [{ target: upstream.url }], {
    extras: { limits: { headersTimeoutMs: 2000, bodyIdleTimeoutMs: 1000 } },
  })
  const api = `POST /api/x HTTP/1.1\r\nHost: localhost:${gateway.port}\r\nx-csrf: 1\r\n`
  const answers: [string, RegExp][] = [
    [`${api}Content-Length: 2\r\nConnection: close\r\n\r\nhi`, /^HTTP\/1\.1 200 OK.*ok$/s],
    ['nonsense\r\n\r\n', /^HTTP\/1\.1 400 .*BFF_MALFORMED_REQUEST/s],
    [`GET / HTTP/1.1\r\nHost: localhost\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    ['GET /healthz HTTP/1.1\r\nHost: localhost\r\n', /^HTTP\/1\.1 408 /],
    [`${api}Content-Length: 9\r\n\r\nhi`, /^HTTP\/1\.1 408 /],
    ['', /^$/],
    [
      'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n',
      /^HTTP\/1\.1 200 OK/,
    ],
  ]

  for (const [bytes, expected] of answers) {
    const socket = await secured(t, gateway, { ALPNProtocols: ['http/1.1'] })
    socket.write(bytes)
    assert.match(Buffer.concat(await socket.toArray()).toString(), expected)
  }
  assert.equal(upstream.arrivals[0]?.headers['x-forwarded-proto'], 'https')
})

test('a browser that disconnects over HTTP/1.1 before the answer aborts the upstream request', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const outgoing = https(`${gateway.url}/api/x`, {
    ca: gateway.cert,
    headers: { 'x-csrf': '1' },
    agent: false,
  })
  outgoing.on('error', () => {}).end()
  const { response } = await upstream.nextArrival()
  const aborted = closed(response)

  outgoing.destroy()

  await aborted
})

test('headers that are too large are refused over HTTP/2 too', async (t) => {
  const gateway = await startTlsGateway(t)
  const session = await gateway.connect()

  const large = await request(session, '/healthz', { cookie: 'x'.repeat(20_000) })
  assert.deepEqual([large.status, errorCode(large)], [431, 'BFF_HEADERS_TOO_LARGE'])
  const long = await request(session, `/healthz?${'x'.repeat(20_000)}`)
  assert.deepEqual([long.status, errorCode(long)], [414, 'BFF_URL_TOO_LONG'])
  await assert.rejects(request(session, '/healthz', { cookie: 'x'.repeat(2_000_000) }))
  await assertUnharmed(gateway)
})

test('an unknown method is refused over HTTP/2 as over HTTP/1.1, without a warning', async (t) => {
  const gateway = await startTlsGateway(t)
  const session = await gateway.connect()

  const refused = await replyOf(openStream(session, '/', { ':method': 'NONSENSE' }).end())

  assert.deepEqual([refused.status, errorCode(refused)], [400, 'BFF_MALFORMED_REQUEST'])
  const alarms = gateway.logs.filter(({ level, event }) => Number(level) >= 40 && event === undefined)
  assert.deepEqual(alarms, [])
})

test('a stalled body is aborted, while other streams of the connection go on', async (t) => {
  const upstream = await startUpstream(t, ({ request }) => request.on('error', () => {}).resume())
  const gateway = await startTlsGateway(t, [{ target: upstream.url }], {
    extras: { limits: { bodyIdleTimeoutMs: 1000 } },
  })
  const session = await gateway.connect()
  const idle = openStream(session, '/api/idle', { ':method': 'POST' })
  const busy = openStream(session, '/api/busy', { ':method': 'POST' })
  t.after(() => clearInterval(timer))
  const timer = setInterval(() => busy.write('x'), 10)
  idle.write('x')

  await closed(idle)

  // CANCEL
  assert.equal(idle.rstCode, 8)
  assert.equal(busy.closed, false)
  const [ofIdle] = upstream.arrivals.filter(({ url }) => url === '/idle')
  await closed(ofIdle?.request ?? assert.fail())
  assert.equal(ofIdle?.request.complete, false)
})

test('a body that the upstream reads slowly is not aborted', async (t) => {
  const bodyIdleTimeoutMs = 500
  const upstream = await startUpstream(t, ({ request, response }) => {
    setTimeout(() => request.resume().once('end', () => response.end('ok')), 3 * bodyIdleTimeoutMs)
  })
  const gateway = await startTlsGateway(t, [{ target: upstream.url }], {
    extras: { limits: { bodyIdleTimeoutMs } },
  })

  const body = Buffer.alloc(32 * 1024 * 1024)
  assert.equal((await request(await gateway.connect(), '/api/x', {}, body)).text, 'ok')
})

test('a client that opens and resets streams rapidly loses its connection', async (t) => {
  const gateway = await startTlsGateway(t)
  const session = await gateway.connect()
  let isGone = false
  const gone = closed(session).then(() => {
    isGone = true
  })
  const roundTrip = () => new Promise((resolve) => session.destroyed || session.ping(resolve))

  for (let round = 0; round < 100 && !isGone; round++) {
    const streams = Array.from({ length: 50 }, () => openStream(session, '/api/x'))
    await Promise.race([roundTrip(), gone])
    for (const stream of streams) stream.close(8)
    await Promise.race([roundTrip(), gone])
  }

  assert.ok(isGone)
  await assertUnharmed(gateway)
})

/** A TLS connection on which nothing has been sent yet. */
async function secured(
  t: TestContext,
  { port, cert }: TlsGateway,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: cert, ...options })
  t.after(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}
