import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { constants } from 'node:http2'
import { createServer } from 'node:https'
import { test } from 'node:test'
import { listen, stop } from '../../demo/listen.ts'
import { closed } from '../support/closed.ts'
import { heldBytes, writtenUntilHeld } from './back-pressure.ts'
import { errorCode, open, readUntil, startGateway } from './support.ts'
import { cert, key, startTlsApi, tellBySocket } from './tls-support.ts'

test('HTTP/2 is used where it is configured, with the same headers as HTTP/1.1', async (t) => {
  const api = await startTlsApi(t)
  const target = { target: `${api.url}/v1`, ca: cert, requestCookies: ['theme'] }
  const gateway = await startGateway(t, [
    { ...target, http2: true },
    { ...target, prefix: '/old' },
  ])
  const headers = {
    cookie: 'bff=secret; theme=dark',
    te: 'trailers',
    'x-custom': '1',
    authorization: 'Bearer forged',
  }
  const two = JSON.parse((await gateway.call('/api/x%2Fy?z=1', { headers })).text)
  const one = JSON.parse((await gateway.call('/old/x%2Fy?z=1', { headers })).text)

  assert.deepEqual([two.httpVersion, one.httpVersion], ['2.0', '1.1'])
  const {
    ':authority': authority,
    ':method': method,
    ':path': path,
    ':scheme': scheme,
    ...rest
  } = two.headers
  const { host, connection, ...others } = one.headers
  assert.deepEqual([method, path, scheme, authority], ['GET', '/v1/x%2Fy?z=1', 'https', host])
  assert.deepEqual(rest, { ...others, te: 'trailers', 'x-forwarded-prefix': '/api' })
})

test('headers pass over HTTP/2 byte for byte, both ways', async (t) => {
  const bytes = 'caf\xc3\xa9 \xe9'
  const api = await startTlsApi(t, {}, ({ headers }, response) => {
    response.setHeader('set-cookie', [`a=${bytes}`, 'b=2'])
    response.setHeader('x-bytes', headers['x-bytes'] ?? '')
    response.end()
  })
  const target = {
    target: api.url,
    ca: cert,
    http2: true,
    responseHeaders: ['x-bytes'],
    responseCookies: ['a', 'b'],
  }
  const gateway = await startGateway(t, [target])
  const { headers } = await gateway.call('/api/x', { headers: { 'x-bytes': bytes } })
  assert.equal(headers['x-bytes'], bytes)
  assert.deepEqual(headers['set-cookie'], [`a=${bytes}`, 'b=2'])
})

test('bodies pass both ways over HTTP/2, of known and unknown length, small and large', async (t) => {
  const api = await startTlsApi(t, {}, (request, response) => request.pipe(response))
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  for (const size of [0, 10, 5_000_000]) {
    for (const chunked of [false, true]) {
      const body = Buffer.alloc(size, 'x')
      const reply = await gateway.call('/api/x', { method: 'POST', body, chunked })
      assert.equal(reply.status, 200)
      assert.ok(reply.body.equals(body), `${size} ${chunked}`)
    }
  }
})

test('parallel requests over HTTP/2 each get their own answer', async (t) => {
  const api = await startTlsApi(t, {}, ({ url }, response) => setImmediate(() => response.end(url)))
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  const paths = Array.from({ length: 200 }, (_, i) => `/${i}`)
  const texts = await Promise.all(paths.map(async (path) => (await gateway.call(`/api${path}`)).text))
  assert.deepEqual(texts, paths)
})

test('a HEAD, an answer without body and an error of the upstream pass over HTTP/2', async (t) => {
  const api = await startTlsApi(t, {}, ({ url }, response) => {
    response.writeHead(Number(url?.slice(1)), { 'x-request-id': '1' }).end()
  })
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  for (const status of [200, 204, 304, 404, 500]) {
    const reply = await gateway.call(`/api/${status}`, { method: status === 200 ? 'HEAD' : 'GET' })
    assert.deepEqual([reply.status, reply.headers['x-request-id'], reply.text], [status, '1', ''])
  }
})

test('an event stream over HTTP/2 arrives event by event, and ends with its browser', async (t) => {
  const api = await startTlsApi(t, {}, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  const outgoing = open(gateway.port, '/api/events')
  outgoing.on('error', () => {}).end()
  const [[, response], [stream]] = await Promise.all([
    once(api.events, 'request'),
    once(outgoing, 'response'),
  ])
  const incoming = stream as IncomingMessage
  incoming.on('error', () => {})
  await readUntil(incoming, 'data: 1')
  response.write('data: 2\n\n')
  await readUntil(incoming, 'data: 2')
  const ended = closed(response.stream)

  outgoing.destroy()

  await ended
})

for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_CANCEL, constants.NGHTTP2_INTERNAL_ERROR]) {
  test(`an answer over HTTP/2 that is reset with code ${code} is never treated as complete`, async (t) => {
    const api = await startTlsApi(t, {}, ({ stream, url }, response) => {
      if (url === '/half') {
        response.write('half')
        setImmediate(() => stream.close(code))
      } else response.end('all')
    })
    const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true, connections: 1 }])
    await assert.rejects(gateway.call('/api/half'), { code: 'ECONNRESET' })
    assert.equal((await gateway.call('/api/whole')).text, 'all')
  })
}

test('an upstream that does not answer over HTTP/2 in time: 504', async (t) => {
  const api = await startTlsApi(t, {}, () => {})
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true, timeoutMs: 1000 }])
  const reply = await gateway.call('/api/x')
  assert.deepEqual([reply.status, errorCode(reply)], [504, 'BFF_UPSTREAM_TIMEOUT'])
})

test('an HTTP/2 session that the upstream ends is replaced, and only safe requests are sent twice', async (t) => {
  const requests: string[] = []
  const api = await startTlsApi(t, {}, ({ method, url, stream }, response) => {
    requests.push(`${method} ${url}`)
    if (url === '/break') stream.session?.destroy()
    else if (url === '/refuse') stream.close(7)
    else response.end('ok')
  })
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  assert.equal((await gateway.call('/api/x')).status, 200)
  for (const path of ['/api/break', '/api/refuse']) {
    for (const method of ['GET', 'POST']) {
      const reply = await gateway.call(path, { method })
      assert.deepEqual([reply.status, errorCode(reply)], [502, 'BFF_UPSTREAM_UNREACHABLE'], path)
      assert.equal((await gateway.call('/api/x')).status, 200)
    }
  }
  assert.deepEqual(
    requests.filter((line) => line !== 'GET /x'),
    // REFUSED_STREAM says that the request was not processed.
    [
      'GET /break',
      'GET /break',
      'POST /break',
      ...Array(2).fill('GET /refuse'),
      ...Array(2).fill('POST /refuse'),
    ],
  )
})

test('an upstream that supports only HTTP/1.1 gets HTTP/1.1', async (t) => {
  const server = createServer({ cert, key }, ({ httpVersion }, response) => response.end(httpVersion))
  const port = await listen(server, 0)
  t.after(() => stop(server))
  const target = `https://localhost:${port}`
  const gateway = await startGateway(t, [{ target, ca: cert, http2: true }])
  assert.equal((await gateway.call('/api/x')).text, '1.1')
})

test('WebSockets of an upstream with HTTP/2 use HTTP/1.1', async (t) => {
  const api = await startTlsApi(t)
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  assert.equal(JSON.parse((await gateway.call('/api/x')).text).httpVersion, '2.0')
  assert.equal(await tellBySocket(api, gateway), '1.1')
})

test('a browser that does not read applies back-pressure to an upstream with HTTP/2', async (t) => {
  const api = await startTlsApi(t, {}, () => {})
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  const outgoing = open(gateway.port, '/api/x')
  outgoing.on('error', () => {}).end()
  t.after(() => outgoing.destroy())
  const [, response] = await once(api.events, 'request')
  response.stream.on('error', () => {})
  response.flushHeaders()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  incoming.on('error', () => {}).pause()

  const written = await writtenUntilHeld(response)

  assert.ok(written < heldBytes, `${written} bytes`)
})

test('an upstream with HTTP/2 that does not read applies back-pressure to the browser', async (t) => {
  const api = await startTlsApi(t, {}, ({ stream }) => stream.on('error', () => {}))
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  const outgoing = open(gateway.port, '/api/x', { method: 'POST' })
  outgoing.on('error', () => {})
  t.after(() => outgoing.destroy())

  const written = await writtenUntilHeld(outgoing)

  assert.ok(written < heldBytes, `${written} bytes`)
})
