import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { selfSignedCertificate } from '../support/certificate.ts'
import { closed } from '../support/closed.ts'
import {
  call,
  errorCode,
  ok,
  type Reply,
  startGateway,
  startTcpUpstream,
  startUpstream,
  unreachableUrl,
  type WantedUpstream,
} from './support.ts'

/** One GET to an upstream that fails. */
async function fail(t: TestContext, upstream: WantedUpstream) {
  const gateway = await startGateway(t, [upstream])
  const reply = await gateway.call('/api/x?secret=1')
  return { reply, gateway }
}

function assertUnreachable(reply: Reply): void {
  assert.deepEqual([reply.status, errorCode(reply)], [502, 'BFF_UPSTREAM_UNREACHABLE'])
  assert.equal(reply.headers['cache-control'], 'no-store')
  assert.match(reply.headers['content-type'] ?? '', /^application\/json/)
  assert.doesNotMatch(
    reply.text,
    /127\.0\.0\.1|localhost|invalid|ECONN|ENOTFOUND|UND_ERR|HPE|certificate|:\d{4,}/i,
  )
}

test('connection refused: 502, and the log has the reason', async (t) => {
  const { reply, gateway } = await fail(t, { target: await unreachableUrl() })
  assertUnreachable(reply)
  const [line = assert.fail()] = gateway.logs.filter(({ level }) => Number(level) >= 50)
  assert.match(JSON.stringify(line), /ECONNREFUSED/)
  assert.doesNotMatch(JSON.stringify(line), /secret/)
})

test('an unknown host: 502', async (t) => {
  const { reply } = await fail(t, { target: 'https://upstream.invalid' })
  assertUnreachable(reply)
})

const misbehaving: Record<string, (socket: Socket) => unknown> = {
  'hangs up': (socket) => socket.end(),
  'resets the connection': (socket) => socket.resetAndDestroy(),
  'aborts within its headers': (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Type: te'),
  'does not speak HTTP': (socket) => socket.end('SSH-2.0-OpenSSH_9.2p1\r\n'),
  'answers with status 999': (socket) => socket.end('HTTP/1.1 999 Odd\r\nContent-Length: 3\r\n\r\nodd'),
  'answers with status 600': (socket) => socket.end('HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n'),
  'answers with status 600 and never ends': (socket) => socket.write('HTTP/1.1 600 Odd\r\n\r\nodd'),
  'answers with status 99': (socket) => socket.end('HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n'),
  'switches protocols without an upgrade': (socket) =>
    socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'),
  'sends headers without end': (socket) =>
    socket.end(`HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`),
  'sends two kinds of framing': (socket) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
}

for (const [what, talk] of Object.entries(misbehaving)) {
  test(`an upstream that ${what}: 502 after one request, and the gateway goes on`, async (t) => {
    const upstream = await startTcpUpstream(t, talk)
    const good = await startUpstream(t)
    const gateway = await startGateway(t, [{ target: upstream.url }, { prefix: '/good', target: good.url }])

    assertUnreachable(await gateway.call('/api/x'))

    assert.equal(upstream.requests(), 1)
    assert.equal((await gateway.call('/good')).status, 200)
  })
}

for (const method of ['PUT', 'DELETE', 'POST']) {
  test(`a ${method} whose connection is reset is not sent again`, async (t) => {
    let talks = 0
    const upstream = await startTcpUpstream(t, (socket) => {
      // The first connection stays open, so that the second request uses it.
      if (++talks === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      else socket.resetAndDestroy()
    })
    const gateway = await startGateway(t, [{ target: upstream.url }])
    assert.equal((await gateway.call('/api/x', { method })).status, 200)

    assertUnreachable(await gateway.call('/api/x', { method }))

    assert.equal(upstream.requests(), 2)
    assert.equal(upstream.sockets.length, 1)
  })
}

for (const status of [429, 500, 502, 503, 504]) {
  test(`${status} of the upstream is passed on unchanged, after one request`, async (t) => {
    const upstream = await startUpstream(t, ({ response }) => {
      response.writeHead(status, { 'retry-after': '1', 'content-type': 'text/plain' }).end('not now')
    })
    const { reply } = await fail(t, { target: upstream.url })
    assert.deepEqual([reply.status, reply.headers['retry-after'], reply.text], [status, '1', 'not now'])
    assert.equal(upstream.arrivals.length, 1)
  })
}

test('an untrusted certificate: 502, and no request is sent', async (t) => {
  const upstream = await startTlsUpstream(t)
  const { reply, gateway } = await fail(t, { target: upstream.url })
  assertUnreachable(reply)
  assert.match(JSON.stringify(gateway.logs), /SELF_SIGNED/)
  assert.equal(upstream.requests(), 0)
})

test('an untrusted certificate is refused even with NODE_TLS_REJECT_UNAUTHORIZED=0', async (t) => {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  t.after(() => delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'])
  const upstream = await startTlsUpstream(t)
  const { reply } = await fail(t, { target: upstream.url })
  assertUnreachable(reply)
  assert.equal(upstream.requests(), 0)
})

test('a certificate trusted by `ca`: 200', async (t) => {
  const upstream = await startTlsUpstream(t)
  for (const host of ['localhost', '127.0.0.1']) {
    const { reply } = await fail(t, { target: upstream.url.replace('localhost', host), ca: upstream.ca })
    assert.deepEqual([reply.status, reply.text], [200, 'over TLS'])
  }
})

test('a certificate of another authority than `ca`: 502', async (t) => {
  const upstream = await startTlsUpstream(t)
  const { reply } = await fail(t, { target: upstream.url, ca: selfSignedCertificate().cert })
  assertUnreachable(reply)
})

test('a certificate for another host: 502', async (t) => {
  const upstream = await startTlsUpstream(t)
  const { reply } = await fail(t, { target: upstream.url.replace('localhost', '127.0.0.2'), ca: upstream.ca })
  assertUnreachable(reply)
  assert.equal(upstream.requests(), 0)
})

test('an upstream that speaks no TLS: 502', async (t) => {
  const upstream = await startUpstream(t)
  const { reply } = await fail(t, { target: upstream.url.replace('http:', 'https:') })
  assertUnreachable(reply)
})

function assertTimeout(reply: Reply): void {
  assert.deepEqual([reply.status, errorCode(reply)], [504, 'BFF_UPSTREAM_TIMEOUT'])
  assert.doesNotMatch(reply.text, /127\.0\.0\.1|UND_ERR/)
}

test('an upstream that does not answer in time: 504, and its request is aborted', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const gateway = await startGateway(t, [{ target: upstream.url, timeoutMs: 1000 }])
  const reply = gateway.call('/api/x')
  const { response } = await upstream.nextArrival()
  const ended = closed(response)
  assertTimeout(await reply)
  await ended
  assert.equal(upstream.arrivals.length, 1)
})

test('an upstream that reads an upload and then does not answer in time: 504', async (t) => {
  const upstream = await startUpstream(t, ({ request }) => request.resume())
  const gateway = await startGateway(t, [{ target: upstream.url, timeoutMs: 1000 }])
  for (const chunked of [false, true]) {
    assertTimeout(await gateway.call('/api/x', { method: 'POST', body: 'x'.repeat(100_000), chunked }))
  }
})

test('an upstream that does not finish connecting in time: 504', async (t) => {
  // It accepts the connection, and never starts TLS.
  const upstream = await startTcpUpstream(t, () => {})
  const target = upstream.url.replace('http:', 'https:')
  const { reply } = await fail(t, { target, connectTimeoutMs: 1000 })
  assertTimeout(reply)
})

test('an upstream that is up again is reached again', async (t) => {
  const port = Number(new URL(await unreachableUrl()).port)
  const gateway = await startGateway(t, [{ target: `http://127.0.0.1:${port}` }])
  assertUnreachable(await gateway.call('/api/x'))
  await startUpstream(t, ok, port)
  assert.equal((await gateway.call('/api/x')).status, 200)
})

test('a closing gateway aborts requests under way at the upstream', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const reply = call(gateway.port, '/api/x').catch((error) => error)
  const { response } = await upstream.nextArrival()
  const ended = closed(response)
  await gateway.close()
  await ended
  assert.ok((await reply) instanceof Error)
})

async function startTlsUpstream(t: TestContext) {
  const { cert, key } = selfSignedCertificate()
  let requests = 0
  const server = createTlsServer({ cert, key }, (_request, response) => {
    requests++
    response.end('over TLS')
  })
  server.on('tlsClientError', () => {})
  server.listen(0)
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { url: `https://localhost:${port}`, ca: cert, requests: () => requests }
}
