import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { buffer, text } from 'node:stream/consumers'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { startIssuer } from '../../demo/issuer.ts'
import { heldBytes, writtenUntilHeld } from './back-pressure.ts'
import {
  type Answer,
  errorCode,
  exchange,
  open,
  signIn,
  startGateway,
  startTcpUpstream,
  startUpstream,
  unreachableUrl,
} from './support.ts'
import { cert, startTlsApi } from './tls-support.ts'

const megabyte = 1024 * 1024

/** Echoes the request. */
const echo: Answer = async ({ request, response }) => {
  const body = await buffer(request)
  response.writeHead(200, { 'content-type': request.headers['content-type'] ?? 'none' }).end(body)
}

for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD']) {
  test(`${method} without a body`, async (t) => {
    const upstream = await startUpstream(t)
    const gateway = await startGateway(t, [{ target: upstream.url }])

    const { status, text } = await gateway.call('/api/x', { method })

    assert.deepEqual([status, text], [200, method === 'HEAD' ? '' : 'ok'])
    const [{ method: arrived, headers } = assert.fail()] = upstream.arrivals
    assert.equal(arrived, method)
    assert.equal(headers['transfer-encoding'], undefined)
    assert.equal(headers['content-length'] ?? '0', '0')
  })
}

const methodsWithBody = ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

for (const method of methodsWithBody) {
  for (const chunked of [false, true]) {
    test(`${method} with a body ${chunked ? 'in chunks' : 'of known length'}`, async (t) => {
      const upstream = await startUpstream(t, echo)
      const gateway = await startGateway(t, [{ target: upstream.url }])

      const { status, text } = await gateway.call('/api/x', { method, body: 'body', chunked })

      assert.deepEqual([status, text], [200, 'body'])
      const [{ headers } = assert.fail()] = upstream.arrivals
      // A body that has arrived completely by then has a length.
      const framings = chunked ? ['4', 'chunked'] : ['4']
      assert.ok(framings.includes(headers['content-length'] ?? headers['transfer-encoding'] ?? ''))
    })
  }
}

const types = [
  'application/json',
  'application/json; charset=utf-8',
  'text/plain',
  'text/plain; charset=iso-8859-1',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/octet-stream',
  'application/vnd.api+json',
  undefined,
]

for (const type of types) {
  test(`a body of type ${type} is passed on unchanged`, async (t) => {
    const upstream = await startUpstream(t, echo)
    const gateway = await startGateway(t, [{ target: upstream.url }])
    const sent = Buffer.from([0x7b, 0xff, 0x00, 0xe9, 0x0d, 0x0a])

    const { headers, body } = await gateway.call('/api/x', {
      method: 'POST',
      body: sent,
      headers: type === undefined ? {} : { 'content-type': type },
    })

    assert.equal(headers['content-type'], type ?? 'none')
    assert.deepEqual(body, sent)
  })
}

test('an invalid Content-Type is a client error', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const reply = await gateway.call('/api/x', { method: 'POST', body: 'x', headers: { 'content-type': 'x' } })
  assert.equal(reply.status, 415)
  assert.ok(errorCode(reply))
})

test('an empty body with a Content-Type stays empty', async (t) => {
  const upstream = await startUpstream(t, echo)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const headers = { 'content-type': 'application/json' }
  for (const options of [{ body: '' }, { body: '', chunked: true }]) {
    const { status, text } = await gateway.call('/api/x', { method: 'POST', headers, ...options })
    assert.deepEqual([status, text], [200, ''])
  }
})

test('methods that browsers do not use are refused', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  for (const method of ['TRACE', 'PROPFIND', 'M-SEARCH']) {
    const reply = await gateway.call('/api/x', { method })
    assert.deepEqual([reply.status, errorCode(reply)], [405, 'BFF_METHOD_NOT_ALLOWED'])
    assert.equal(reply.headers.allow, 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
  }
  assert.equal(upstream.arrivals.length, 0)
})

for (const framing of ['Content-Length: 33', 'Transfer-Encoding: chunked']) {
  test(`a GET passes with its body, without request smuggling: ${framing}`, async (t) => {
    const bodies: string[] = []
    const upstream = await startUpstream(t, async ({ request, response }) => {
      bodies.push(await text(request))
      response.end('ok')
    })
    const gateway = await startGateway(t, [{ target: upstream.url }])
    const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n'
    const body = framing.startsWith('T')
      ? `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`
      : smuggled
    const head = 'HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\n'

    const answers = await exchange(
      gateway.port,
      `GET /api/1 ${head}${framing}\r\n\r\n${body}GET /api/2 ${head}Connection: close\r\n\r\n`,
    )

    assert.equal(answers.match(/HTTP\/1.1 200 OK/g)?.length, 2)
    assert.deepEqual(
      upstream.arrivals.map(({ url }) => url),
      ['/1', '/2'],
    )
    assert.deepEqual(bodies, [smuggled, ''])
  })
}

test('ambiguous framing is refused', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const faulty = [
    'Content-Length: 1\r\nTransfer-Encoding: chunked',
    'Content-Length: 1\r\nContent-Length: 2',
    'Content-Length: +1',
    'Content-Length: 1,1',
    'Transfer-Encoding: chunked, identity',
    'Content-Length : 1',
    'x-a: b\r\n Content-Length: 1',
  ]
  for (const framing of faulty) {
    const head = `POST /api/x HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\nConnection: close\r\n${framing}`
    assert.match(await exchange(gateway.port, `${head}\r\n\r\n0\r\n\r\n`), /^HTTP\/1.1 400 /, framing)
  }
  assert.equal(upstream.arrivals.length, 0)
})

for (const chunked of [false, true]) {
  test(`20 MB are sent up and down completely, ${chunked ? 'in chunks' : 'of known length'}`, async (t) => {
    const upstream = await startUpstream(t, ({ request, response }) => {
      const length = request.headers['content-length']
      response.writeHead(200, length === undefined ? {} : { 'content-length': length })
      request.pipe(response)
    })
    const gateway = await startGateway(t, [{ target: upstream.url }])
    const sent = randomBytes(20 * megabyte)

    const { status, body, headers } = await gateway.call('/api/x', { method: 'PUT', body: sent, chunked })

    assert.equal(status, 200)
    assert.equal(headers['content-length'], chunked ? undefined : String(sent.length))
    assert.equal(digest(body), digest(sent))
  })
}

test('an upstream that does not read applies back-pressure to the browser', async (t) => {
  const upstream = await startUpstream(t, ({ request }) => request.pause())
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/x', { method: 'POST' })
  outgoing.on('error', () => {})
  t.after(() => outgoing.destroy())

  const written = await writtenUntilHeld(outgoing)

  assert.ok(written < heldBytes, `${written} bytes`)
})

test('a browser that does not read applies back-pressure to the upstream', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/x')
  outgoing.on('error', () => {}).end()
  t.after(() => outgoing.destroy())
  const { response } = await upstream.nextArrival()
  response.on('error', () => {})
  response.flushHeaders()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  incoming.on('error', () => {}).pause()

  const written = await writtenUntilHeld(response)

  assert.ok(written < heldBytes, `${written} bytes`)
})

test('a browser that waits for 100 Continue gets it, and the upstream gets no Expect header', async (t) => {
  const upstream = await startUpstream(t, echo)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const outgoing = open(gateway.port, '/api/x', {
    method: 'POST',
    headers: { expect: '100-continue', 'content-length': 4 },
  })
  outgoing.flushHeaders()
  await once(outgoing, 'continue')
  assert.deepEqual(await finish(outgoing, 'body'), [200, 'body'])
  assert.equal(upstream.arrivals[0]?.headers.expect, undefined)
})

test('an unknown expectation is not passed on', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const { status } = await gateway.call('/api/x', { headers: { expect: 'the-unexpected' } })
  assert.equal(status, 200)
  assert.deepEqual(
    upstream.arrivals.map(({ headers }) => headers.expect),
    [undefined],
  )
})

const size = 3 * megabyte

for (const framing of [`Content-Length: ${size}`, 'Transfer-Encoding: chunked']) {
  const body = 'x'.repeat(size)
  const framed = framing.startsWith('T') ? `${size.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body
  const head = 'HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1'
  const bytes = `POST /api/x ${head}\r\n${framing}\r\n\r\n${framed}GET /good/x ${head}\r\nConnection: close\r\n\r\n`

  test(`an answer before the end of an upload reaches the browser: ${framing}`, async (t) => {
    const upstream = await startUpstream(t, ({ response }) => response.writeHead(413).end('too much'))
    const good = await startUpstream(t)
    const gateway = await startGateway(t, [{ target: upstream.url }, { prefix: '/good', target: good.url }])

    assert.match(await exchange(gateway.port, bytes), /^HTTP\/1.1 413 .*too much.*HTTP\/1.1 200 OK/s)
    assert.equal(upstream.arrivals.length, 1)
  })

  test(`an upload that is refused unread is answered, and so is the next request: ${framing}`, async (t) => {
    const good = await startUpstream(t)
    const gateway = await startGateway(t, [
      { target: await unreachableUrl() },
      { prefix: '/good', target: good.url },
    ])
    const answers = await exchange(gateway.port, bytes)
    assert.match(answers, /^HTTP\/1.1 502 .*BFF_UPSTREAM_UNREACHABLE.*HTTP\/1.1 200 OK/s)
  })
}

test('HEAD is answered with the Content-Length of GET', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.writeHead(200, { 'content-length': 12345, etag: '"a"' }).end()
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const { status, headers, text } = await gateway.call('/api/x', { method: 'HEAD' })
  assert.deepEqual([status, headers['content-length'], headers.etag, text], [200, '12345', '"a"', ''])
})

test('204 has neither body nor length', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => response.writeHead(204, { etag: '"a"' }).end())
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const { status, headers, text } = await gateway.call('/api/x', { method: 'DELETE' })
  assert.deepEqual([status, headers.etag, text], [204, '"a"', ''])
  assert.equal(headers['content-length'], undefined)
  assert.equal(headers['transfer-encoding'], undefined)
})

test('a conditional request gets 304, without a body', async (t) => {
  const upstream = await startUpstream(t, ({ request, response }) => {
    response.writeHead(request.headers['if-none-match'] === '"a"' ? 304 : 200, { etag: '"a"' }).end()
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const { status, headers, text } = await gateway.call('/api/x', { headers: { 'if-none-match': '"a"' } })
  assert.deepEqual([status, headers.etag, text], [304, '"a"', ''])
})

test('a compressed answer stays unchanged', async (t) => {
  const compressed = gzipSync('hello'.repeat(100))
  const upstream = await startUpstream(t, ({ response }) => {
    response
      .writeHead(200, { 'content-encoding': 'gzip', 'content-length': compressed.length })
      .end(compressed)
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const { headers, body } = await gateway.call('/api/x', { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(upstream.arrivals[0]?.headers['accept-encoding'], 'gzip')
  assert.equal(headers['content-encoding'], 'gzip')
  assert.deepEqual(body, compressed)
})

test('a body of an HTTP/1.0 upstream that ends with the connection is complete', async (t) => {
  const upstream = await startTcpUpstream(t, (socket) => {
    socket.end('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold')
  })
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const { status, text } = await gateway.call('/api/x')
  assert.deepEqual([status, text], [200, 'old'])
})

async function finish(outgoing: ClientRequest, body: string): Promise<[number | undefined, string]> {
  outgoing.end(body)
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  return [incoming.statusCode, (await buffer(incoming)).toString()]
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

for (const http2 of [false, true]) {
  for (const chunked of [false, true]) {
    test(`a GET passes with its body to an API ${http2 ? 'that offers HTTP/2' : 'over HTTP/1.1'}, ${chunked ? 'in chunks' : 'of known length'}`, async (t) => {
      const api = await startTlsApi(t, {}, async (request, response) => response.end(await text(request)))
      const gateway = await startGateway(t, [{ target: api.url, ca: cert, http2 }])
      const { status, text: echoed } = await gateway.call('/api/search', { body: '{"q":1}', chunked })
      assert.deepEqual([status, echoed], [200, '{"q":1}'])
    })
  }
}

test('a GET with a body is repeated completely when its token is refused', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const bodies: string[] = []
  const upstream = await startUpstream(t, async ({ request, response }) => {
    bodies.push(await text(request))
    response.writeHead(bodies.length === 1 ? 401 : 200).end()
  })
  const gateway = await startGateway(t, [{ target: upstream.url, token: 'user' }], { issuer })
  const headers = { cookie: await signIn(gateway) }
  assert.equal((await gateway.call('/api/x', { headers, body: 'query' })).status, 200)
  assert.deepEqual(bodies, ['query', 'query'])
})
