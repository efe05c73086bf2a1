import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { upstreamDefaults } from '../../config/index.ts'
import type { UpstreamAnswer } from '../../plugins/upstream/upstream-answer.ts'
import { createUpstreamClient } from '../../plugins/upstream/upstream-client.ts'
import { closed } from '../support/closed.ts'
import { openStream, replyOf, startTlsGateway } from '../tls/support.ts'
import {
  exchange,
  open,
  startGateway,
  startTcpUpstream,
  startUpstream,
  type WantedUpstream,
} from './support.ts'
import { cert, type Handler, startTlsApi } from './tls-support.ts'

/** The bytes that a client gets of a chunked answer with this head and these trailers. */
async function received(t: TestContext, answer: string, wanted: Partial<WantedUpstream> = {}, request = get) {
  const upstream = await startTcpUpstream(t, (socket) => socket.write(answer))
  const gateway = await startGateway(t, [
    { target: upstream.url, responseHeaders: ['x-checksum'], ...wanted },
  ])
  return exchange(gateway.port, request)
}

const get = 'GET /api/x HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\nConnection: close\r\n\r\n'

function chunked(body: string, trailers: string[], headers: string[] = []): string {
  const head = ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', ...headers, '', ''].join('\r\n')
  const chunks = body === '' ? '' : `${body.length.toString(16)}\r\n${body}\r\n`
  return `${head}${chunks}0\r\n${trailers.map((line) => `${line}\r\n`).join('')}\r\n`
}

test("an upstream's trailers follow the body, and are announced as by the upstream", async (t) => {
  const text = await received(
    t,
    chunked('body', ['X-Checksum: 1', 'Server-Timing: db'], ['Trailer: X-Checksum']),
  )
  assert.match(text, /\r\ntrailer: x-checksum\r\n/i)
  assert.match(text, /\r\n\r\n4\r\nbody\r\n0\r\nx-checksum: 1\r\nserver-timing: db\r\n\r\n$/)
})

test('trailers of an answer without a body arrive too', async (t) => {
  assert.match(await received(t, chunked('', ['X-Checksum: 1'])), /\r\n\r\n0\r\nx-checksum: 1\r\n\r\n$/)
})

test('fields that are forbidden as trailers are neither passed on nor announced', async (t) => {
  const bad = ['Set-Cookie: bff=evil', 'Content-Type: text/html', 'Cache-Control: public', 'X-Internal: 1']
  const names = bad.map((line) => line.split(':')[0]).join(', ')
  const answer = chunked('body', bad, [`Trailer: ${names}`, 'Connection: keep-alive, X-Internal'])
  const text = await received(t, answer)
  assert.match(text, /\r\n\r\n4\r\nbody\r\n0\r\n\r\n$/)
  assert.doesNotMatch(text, /trailer:|evil|html|public|internal/i)
})

test('trailers follow the same list as headers', async (t) => {
  const text = await received(t, chunked('body', ['X-Checksum: 1', 'X-Other: 2']), {
    responseHeaders: ['x-checksum'],
  })
  assert.match(text, /\r\n0\r\nx-checksum: 1\r\n\r\n$/)
})

const withoutRoom = {
  'for HTTP/1.0': { request: get.replace('1.1', '1.0'), end: /\r\n\r\nbody$/ },
  'after a HEAD': { request: get.replace('GET', 'HEAD'), end: /\r\n\r\n$/ },
}

for (const [what, { request, end }] of Object.entries(withoutRoom)) {
  test(`there are no trailers ${what}`, async (t) => {
    const answer = chunked('body', ['X-Checksum: 1'], ['Trailer: X-Checksum'])
    const text = await received(t, answer, {}, request)
    assert.match(text, /^HTTP\/1.1 200 OK\r\n/)
    assert.match(text, end)
    assert.doesNotMatch(text, /checksum/i)
  })
}

test('an answer with Content-Length keeps it, and has no trailers over HTTP/1.1', async (t) => {
  const api = await startTlsApi(t, {}, (_request, response) => {
    response.writeHead(200, { 'content-length': 4, trailer: 'x-checksum' })
    response.addTrailers({ 'x-checksum': '1' })
    response.end('body')
  })
  const target = { target: api.url, ca: cert, http2: true, responseHeaders: ['x-checksum'] }
  const plain = await startGateway(t, [target])
  assert.match(await exchange(plain.port, get), /\r\ncontent-length: 4\r\n(?!.*checksum).*\r\n\r\nbody$/s)

  const gateway = await startTlsGateway(t, [target])
  const stream = openStream(await gateway.connect(), '/api/x')
  const [{ headers }, trailers] = await Promise.all([replyOf(stream), trailersOf(stream)])
  assert.equal(headers['content-length'], '4')
  assert.deepEqual(trailers, { 'x-checksum': '1' })
})

for (const lastWords of ['0\r\nX-Checksum: 1\r\n', '0\r\nX-Checksum: \x01\r\n\r\n']) {
  test(`an answer aborted in its trailers is never treated as complete: ${JSON.stringify(lastWords)}`, async (t) => {
    const upstream = await startTcpUpstream(t, (socket) => {
      socket.end(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n${lastWords}`)
    })
    const gateway = await startTlsGateway(t, [{ target: upstream.url }])
    const plain = await startGateway(t, [{ target: upstream.url }])
    await assert.rejects(replyOf(openStream(await gateway.connect(), '/api/x')))
    await assert.rejects(plain.call('/api/x'), { code: 'ECONNRESET' })
  })
}

/** Answers a gRPC call: messages and status. */
const call: Handler = (request, response) => {
  response.writeHead(200, { 'content-type': 'application/grpc', trailer: 'grpc-status' })
  response.addTrailers({ 'grpc-status': '0', 'grpc-message': 'fine', etag: '"a"', 'set-cookie': 'bff=evil' })
  request.pipe(response)
}

test('a gRPC call passes over HTTP/2, with messages both ways and its status at the end', async (t) => {
  const api = await startTlsApi(t, {}, call)
  const gateway = await startTlsGateway(t, [{ target: api.url, ca: cert, http2: true }])
  const head = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' }
  const stream = openStream(await gateway.connect(), '/api/Greeter/Hello', head)
  const trailers = trailersOf(stream)
  const [request] = await once(api.events, 'request')

  for (const message of ['one', 'two']) {
    stream.write(message)
    assert.equal(String((await once(stream, 'data'))[0]), message)
  }
  stream.end()

  assert.deepEqual(await trailers, { 'grpc-status': '0', 'grpc-message': 'fine', etag: '"a"' })
  assert.equal(request.headers.te, 'trailers')
  assert.equal(stream.rstCode, 0)
})

test('a gRPC call that fails at once passes with its status', async (t) => {
  const api = await startTlsApi(t, {}, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/grpc', 'grpc-status': '12' }).end()
  })
  const gateway = await startTlsGateway(t, [{ target: api.url, ca: cert, http2: true }])
  const { headers } = await replyOf(openStream(await gateway.connect(), '/api/x'))
  assert.equal(headers['grpc-status'], '12')
})

test('trailers pass from HTTP/2 to HTTP/1.1', async (t) => {
  const api = await startTlsApi(t, {}, call)
  const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2: true }])
  const outgoing = open(gateway.port, '/api/x', { method: 'POST', chunked: true })
  outgoing.end('body')
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  await once(incoming.resume(), 'end')
  assert.equal(incoming.headers.trailer, 'grpc-status')
  assert.deepEqual(incoming.trailers, { 'grpc-status': '0', 'grpc-message': 'fine', etag: '"a"' })
})

test('trailers pass from HTTP/1.1 to HTTP/2, without fields that only HTTP/1.1 allows', async (t) => {
  const trailers = ['ETag: "a"', 'ETag: "b"', 'HTTP2-Settings: x', 'TE: x', 'X-Checksum: 1 \t']
  const upstream = await startTcpUpstream(t, (socket) => socket.write(chunked('body', trailers)))
  const gateway = await startTlsGateway(t, [{ target: upstream.url, responseHeaders: ['x-checksum'] }])
  const stream = openStream(await gateway.connect(), '/api/x')
  const [{ text }, received] = await Promise.all([replyOf(stream), trailersOf(stream)])
  assert.equal(text, 'body')
  assert.deepEqual(received, { etag: '"a", "b"', 'x-checksum': '1' })
})

test('an answer over HTTP/2 is read to its end after its trailers have arrived', async (t) => {
  const size = 100_000
  const api = await startTlsApi(t, {}, (_request, response) => {
    response.write(Buffer.alloc(size))
    response.addTrailers({ 'x-checksum': '1' })
    response.end()
  })
  const target = new URL(api.url)
  const client = createUpstreamClient({
    ...upstreamDefaults(),
    prefix: '/',
    target,
    ca: cert,
    http2: true,
  })
  t.after(() => client.close())
  const asked = new Promise<UpstreamAnswer>((answered, failed) => {
    client.send({ method: 'GET', path: '/', headers: {}, body: null }, { answered, failed })
  })
  const [{ stream }] = await once(api.events, 'request')
  const { session } = stream
  await closed(stream)
  const answer = await asked
  // The trailers were sent before this answer.
  await promisify(session.ping).call(session)
  await turn()

  assert.equal((await buffer(answer.body)).length, size)
  assert.equal(answer.trailers['x-checksum'], '1')
})

test('TE: trailers is sent if the browser sends it and the upstream uses HTTP/2', async (t) => {
  const upstream = await startUpstream(t)
  const api = await startTlsApi(t)
  const gateway = await startGateway(t, [
    { target: upstream.url },
    { prefix: '/two', target: api.url, ca: cert, http2: true },
  ])
  const asked = async (te: string) => {
    const headers = { te, connection: 'te' }
    return JSON.parse((await gateway.call('/two/x', { headers })).text).headers.te
  }
  assert.equal(await asked('deflate, Trailers'), 'trailers')
  assert.equal(await asked('deflate'), undefined)
  await gateway.call('/api/x', { headers: { te: 'trailers', connection: 'te' } })
  assert.equal(upstream.arrivals[0]?.headers['te'], undefined)
})

test("a browser's trailers are dropped over HTTP/2 too, and its body is complete", async (t) => {
  const api = await startTlsApi(t, {}, (request, response) => {
    request.resume().once('end', () => response.end(JSON.stringify(request.trailers)))
  })
  const gateway = await startTlsGateway(t, [{ target: api.url, ca: cert, http2: true }])
  const session = await gateway.connect()
  const head = { ':method': 'POST', ':path': '/api/x', 'x-csrf': '1', trailer: 'authorization' }
  const stream = session.request(head, { waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers({ authorization: 'Bearer forged' }))
  stream.end('body')
  assert.equal((await replyOf(stream)).text, '{}')
})

test("a browser's trailers are dropped, so they can't carry forbidden headers", async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/x', {
    method: 'POST',
    headers: { 'transfer-encoding': 'chunked', trailer: 'authorization' },
  })
  outgoing.write('body')
  outgoing.addTrailers({ authorization: 'Bearer forged' })
  outgoing.end()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  incoming.resume()
  const [arrival] = upstream.arrivals
  assert.equal(arrival?.request.complete, true)
  assert.deepEqual(arrival?.request.trailers, {})
  assert.equal(arrival?.headers.trailer, undefined)
})

/** The trailers, after the stream was read to its end. */
async function trailersOf(stream: ClientHttp2Stream) {
  let trailers: IncomingHttpHeaders = {}
  stream.once('trailers', (fields) => {
    trailers = fields
  })
  await closed(stream)
  return Object.fromEntries(Object.entries(trailers))
}
