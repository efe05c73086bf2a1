import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants } from 'node:http2'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Pool } from 'undici'
import { startTcpUpstream } from './support.ts'
import { cert, startTlsApi } from './tls-support.ts'

// Faults of undici itself. A test that fails after an upgrade shows that the gateway's fix can be removed.

const get = { method: 'GET', path: '/' } as const

function startPool(t: TestContext, url: string, options: Pool.Options = {}): Pool {
  const pool = new Pool(url, { connections: 1, allowH2: true, connect: { ca: cert }, ...options })
  t.after(() => pool.destroy())
  return pool
}

for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_CANCEL]) {
  test(`undici treats an answer that was reset with code ${code} as complete (http2.ts)`, async (t) => {
    const api = await startTlsApi(t, {}, ({ stream }, response) => {
      response.write('half')
      setImmediate(() => stream.close(code))
    })
    const { body } = await startPool(t, api.url).request(get)
    assert.equal(await body.text(), 'half')
  })
}

test('undici drops unread data of an answer when its trailers arrive (http2.ts)', async (t) => {
  const size = 100_000
  const api = await startTlsApi(t, {}, (_request, response) => {
    response.write(Buffer.alloc(size))
    response.addTrailers({ 'x-checksum': '1' })
    response.end()
  })
  const asked = startPool(t, api.url).request(get)
  const [{ stream }] = await once(api.events, 'request')
  const { session } = stream
  await once(stream, 'close')
  const { body } = await asked
  // When this is answered, the trailers have arrived too.
  await promisify(session.ping).call(session)
  await turn()
  assert.ok((await body.bytes()).length < size)
})

test('undici rejects an unexpected 100 (answer.ts)', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => {
    socket.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  })
  await assert.rejects(startPool(t, upstream.url).request(get), { code: 'UND_ERR_SOCKET' })
})

for (const status of ['304 Not Modified', '204 No Content']) {
  test(`undici closes the connection after a ${status} with a length (answer.ts)`, async (t) => {
    const upstream = await startTcpUpstream(t, (socket) => {
      socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 1000\r\n\r\n`)
    })
    const pool = startPool(t, upstream.url)
    for (let i = 0; i < 2; i++) await (await pool.request(get)).body.dump()
    assert.equal(upstream.sockets.length, 2)
  })
}

test('undici restarts its time limit with each interim answer (watched-connection.ts)', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => {
    let sent = 0
    const timer = setInterval(() => {
      if (++sent < 60) return void socket.write('HTTP/1.1 102 Processing\r\n\r\n')
      clearInterval(timer)
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    }, 50)
    socket.once('close', () => clearInterval(timer))
  })
  const { statusCode, body } = await startPool(t, upstream.url, { headersTimeout: 1000 }).request(get)
  await body.dump()
  assert.equal(statusCode, 200)
})

test('undici closes the connection after a HEAD (exchange.ts)', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1000\r\n\r\n')
  })
  const pool = startPool(t, upstream.url)
  for (let i = 0; i < 2; i++) await (await pool.request({ method: 'HEAD', path: '/' })).body.dump()
  assert.equal(upstream.sockets.length, 2)
})
