import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { closed } from '../support/closed.ts'
import { until } from '../support/until.ts'
import { errorCode, startGateway, startTcpUpstream } from './support.ts'
import { cert, startTlsApi } from './tls-support.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

for (const status of ['100 Continue', '102 Processing', '103 Early Hints', '199 Odd']) {
  test(`an unexpected interim answer is skipped, and its connection stays usable: ${status}`, async (t) => {
    const upstream = await startTcpUpstream(t, (socket) => {
      socket.write(`HTTP/1.1 ${status}\r\nLink: </x>\r\n\r\n`.repeat(2) + ok)
    })
    const gateway = await startGateway(t, [{ target: upstream.url }])
    for (const method of ['GET', 'POST']) {
      const reply = await gateway.call('/api/x', { method, ...(method === 'POST' && { body: 'hi' }) })
      assert.deepEqual([reply.status, reply.text], [200, 'ok'])
    }
    assert.equal(upstream.sockets.length, 1)
  })
}

for (const status of ['100 Continue', '102 Processing', '103 Early Hints']) {
  test(`interim answers don't extend the time for the final one: ${status}`, async (t) => {
    const timers: NodeJS.Timeout[] = []
    t.after(() => timers.forEach(clearInterval))
    const upstream = await startTcpUpstream(t, (socket) => {
      timers.push(setInterval(() => socket.writable && socket.write(`HTTP/1.1 ${status}\r\n\r\n`), 50))
    })
    const gateway = await startGateway(t, [{ target: upstream.url, timeoutMs: 500 }])
    const reply = await gateway.call('/api/x')
    assert.deepEqual([reply.status, errorCode(reply)], [504, 'BFF_UPSTREAM_TIMEOUT'])
    assert.equal(upstream.requests(), 1)
  })
}

test("over HTTP/2 interim answers don't extend the time either, and the next request is answered", async (t) => {
  const timers: NodeJS.Timeout[] = []
  t.after(() => timers.forEach(clearInterval))
  const api = await startTlsApi(t, {}, ({ url, stream }, response) => {
    stream.on('error', () => {})
    if (url === '/late')
      timers.push(setInterval(() => !stream.destroyed && stream.additionalHeaders({ ':status': 102 }), 50))
    else response.end('ok')
  })
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true, timeoutMs: 2000 }])
  const reply = await gateway.call('/api/late')
  assert.deepEqual([reply.status, errorCode(reply)], [504, 'BFF_UPSTREAM_TIMEOUT'])
  assert.equal((await gateway.call('/api/x')).text, 'ok')
})

for (const status of ['304 Not Modified', '204 No Content']) {
  test(`a ${status} with the Content-Length of another answer keeps its connection`, async (t) => {
    const upstream = await startTcpUpstream(t, (socket) => {
      socket.write(`HTTP/1.1 ${status}\r\nETag: "a"\r\nContent-Length: 1000\r\n\r\n`)
    })
    const gateway = await startGateway(t, [{ target: upstream.url }])
    for (let i = 0; i < 3; i++) {
      const reply = await gateway.call('/api/x', { headers: { 'if-none-match': '"a"' } })
      assert.deepEqual(
        [reply.status, reply.headers.etag, reply.text],
        [Number(status.slice(0, 3)), '"a"', ''],
      )
    }
    assert.equal(upstream.sockets.length, 1)
  })
}

test('a HEAD keeps its connection', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1000\r\n\r\n')
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  for (let i = 0; i < 3; i++) {
    const { status, headers } = await gateway.call('/api/x', { method: 'HEAD' })
    assert.deepEqual([status, headers['content-length']], [200, '1000'])
  }
  assert.equal(upstream.sockets.length, 1)
})

/** Serves one request on each connection and closes it at the next one, unread or half answered. */
function closesOnSecond(close: (socket: Socket) => unknown) {
  const served = new WeakSet<Socket>()
  return (socket: Socket) => {
    if (served.has(socket)) close(socket)
    else socket.write(ok)
    served.add(socket)
  }
}

for (const [how, close] of Object.entries({
  FIN: (socket: Socket) => socket.end(),
  RST: (socket: Socket) => socket.resetAndDestroy(),
})) {
  test(`a GET or HEAD is repeated when a reused connection closes without an answer: ${how}`, async (t) => {
    const upstream = await startTcpUpstream(t, closesOnSecond(close))
    const gateway = await startGateway(t, [{ target: upstream.url, connections: 1 }])
    await gateway.call('/api/x')
    assert.equal((await gateway.call('/api/x')).text, 'ok')
    await gateway.call('/api/x', { method: 'HEAD' })
    assert.equal(upstream.sockets.length, 3)
  })

  test(`nothing else is sent twice: ${how}`, async (t) => {
    const upstream = await startTcpUpstream(t, closesOnSecond(close))
    const gateway = await startGateway(t, [{ target: upstream.url, connections: 1 }])
    for (const options of [
      { method: 'POST', body: 'hi' },
      { method: 'DELETE' },
      { method: 'PUT', body: 'hi' },
      { method: 'OPTIONS' },
      { method: 'GET', body: 'hi' },
    ]) {
      assert.equal((await gateway.call('/api/x')).text, 'ok')
      const before = upstream.requests()
      assert.equal((await gateway.call('/api/x', options)).status, 502, options.method)
      assert.equal(upstream.requests(), before + 1, options.method)
    }
  })
}

test('a new connection that closes without an answer is a failure, and so is a second one', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => socket.end())
  const gateway = await startGateway(t, [{ target: upstream.url, connections: 1 }])
  assert.equal((await gateway.call('/api/x')).status, 502)
  assert.equal(upstream.requests(), 1)
})

test('a GET whose answer had begun is not sent again', async (t) => {
  const upstream = await startTcpUpstream(
    t,
    closesOnSecond((socket) => socket.end('HTTP/1.1 20')),
  )
  const gateway = await startGateway(t, [{ target: upstream.url, connections: 1 }])
  await gateway.call('/api/x')
  assert.equal((await gateway.call('/api/x')).status, 502)
  assert.equal(upstream.requests(), 2)
})

test('a GET that a used connection does not answer in time is not sent again', async (t) => {
  const upstream = await startTcpUpstream(
    t,
    closesOnSecond(() => {}),
  )
  const gateway = await startGateway(t, [{ target: upstream.url, connections: 1, timeoutMs: 2000 }])
  await gateway.call('/api/x')
  assert.equal((await gateway.call('/api/x')).status, 504)
  assert.equal(upstream.requests(), 2)
})

test('an HTTP/2 upstream that allowed no streams for a while is used again', async (t) => {
  const sessions: import('node:http2').ServerHttp2Session[] = []
  const api = await startTlsApi(t, {}, ({ stream }, response) => {
    if (stream.session && !sessions.includes(stream.session as never)) sessions.push(stream.session as never)
    response.end('ok')
  })
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true, timeoutMs: 5000 }])
  await gateway.call('/api/x')
  const [first] = sessions
  assert.ok(first)
  first.settings({ maxConcurrentStreams: 0 })
  await closed(first)
  for (let i = 0; i < 3; i++) assert.equal((await gateway.call('/api/x')).text, 'ok')
  await until(() => sessions.length === 2)
})

test('a request with REFUSED_STREAM from an HTTP/2 upstream is repeated', async (t) => {
  let refused = 0
  const api = await startTlsApi(t, {}, ({ method, stream }, response) => {
    stream.on('error', () => {})
    if (method === 'POST' && refused++ === 0) stream.close(7)
    else response.end('ok')
  })
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  assert.equal((await gateway.call('/api/x', { method: 'POST' })).text, 'ok')
  assert.equal(refused, 2)
})
