import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { exchange, publicHost, startGateway, startUpstream } from '../proxy/support.ts'
import { closed } from '../support/closed.ts'

const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/

/** Asserts that the bytes are one answer in the error format, and nothing after it. */
function assertRefused(answer: string, statusCode: number, code: string): string {
  const [head = '', body = '', ...more] = answer.split('\r\n\r\n')
  assert.deepEqual(more, [])
  const [status, ...lines] = head.split('\r\n')
  assert.match(status ?? '', new RegExp(`^HTTP/1\\.1 ${statusCode} \\w`), answer)
  const headers = Object.fromEntries(lines.map((line) => line.toLowerCase().split(': ', 2)))
  assert.equal(headers['content-type'], 'application/json; charset=utf-8')
  assert.equal(headers['content-length'], String(body.length))
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(headers['connection'], 'close')
  const { error, details, requestId, ...rest } = JSON.parse(body)
  assert.deepEqual(rest, { statusCode, code })
  for (const text of [error, details]) assert.ok(typeof text === 'string' && text !== '', body)
  assert.match(requestId, uuid)
  return requestId
}

function start(t: TestContext, target = 'http://127.0.0.1:9', env = {}) {
  return startGateway(t, [{ target }], { env })
}

const malformed: Record<string, string> = {
  'is no HTTP': 'nonsense\r\n\r\n',
  'is TLS': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'has an invalid method': 'FETCH /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
  'has a control byte in its target': 'GET /healthz\x01 HTTP/1.1\r\nHost: x\r\n\r\n',
  'has a NUL in a header': 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n',
  'has a control byte in its cookie': 'GET /bff/user HTTP/1.1\r\nHost: x\r\nCookie: bff=\x01\r\n\r\n',
  'has a bare line feed in a header': 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\nX-B: b\r\n\r\n',
  'has a header without a name': 'GET /healthz HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n',
  'has blanks before the colon': 'GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n',
  'has two different Content-Lengths':
    'POST /api/x HTTP/1.1\r\nHost: GATEWAY\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
  'has an invalid Content-Length': 'POST /api/x HTTP/1.1\r\nHost: GATEWAY\r\nContent-Length: -1\r\n\r\n',
  'has Content-Length and Transfer-Encoding':
    'POST /api/x HTTP/1.1\r\nHost: GATEWAY\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
}

for (const [what, bytes] of Object.entries(malformed)) {
  test(`a request that ${what} is refused in the format of every other error`, async (t) => {
    const gateway = await start(t)
    assertRefused(await exchange(gateway.port, bytes), 400, 'BFF_MALFORMED_REQUEST')
  })
}

test('a request with two hosts, or none, is refused, as a proxy in front may have used the other', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await start(t, upstream.url)
  for (const hosts of ['Host: a\r\nHost: b\r\n', 'Host: a\r\nhost: a\r\n', '']) {
    const request = `GET /api/x HTTP/1.1\r\n${hosts}X-CSRF: 1\r\nConnection: close\r\n\r\n`
    const answer = await exchange(gateway.port, request)
    assert.match(answer, /^HTTP\/1\.1 400 /)
    assert.match(answer, /"code":"BFF_MALFORMED_REQUEST"/)
  }
  assert.equal(upstream.arrivals.length, 0)
  assert.match(await exchange(gateway.port, 'GET /healthz HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /)
})

test('headers that are too large are refused in that format, however large they are', async (t) => {
  const gateway = await start(t)
  for (const length of [20_000, 2_000_000]) {
    const cookie = `Cookie: bff=${'x'.repeat(length)}`
    const answer = await exchange(gateway.port, `GET /bff/user HTTP/1.1\r\nHost: x\r\n${cookie}\r\n\r\n`)
    assertRefused(answer, 431, 'BFF_HEADERS_TOO_LARGE')
  }
})

test("the log has the reason under the client's requestId, and repeats nothing that was sent", async (t) => {
  const gateway = await start(t)
  const bytes = 'GET /bff/user HTTP/1.1\r\nHost: x\r\nCookie: bff=secret\x01\r\n\r\n'

  const requestId = assertRefused(await exchange(gateway.port, bytes), 400, 'BFF_MALFORMED_REQUEST')

  const line = gateway.logs.find(({ reqId }) => reqId === requestId)
  assert.match(JSON.stringify(line), /HPE_INVALID_HEADER_TOKEN/)
  assert.doesNotMatch(JSON.stringify(gateway.logs), /secret/)
})

test('a body with broken framing is refused, and its first part is not treated as the whole', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await start(t, upstream.url)
  const head = 'POST /api/x HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\nTransfer-Encoding: chunked\r\n\r\n'

  const answer = await exchange(gateway.port, `${head}3\r\nabc\r\nnonsense\r\n\r\n`)

  assertRefused(answer, 400, 'BFF_MALFORMED_REQUEST')
  assert.ok(upstream.arrivals.every(({ request }) => !request.complete))
})

test('an error is not written into an answer that is still being sent', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => response.write('data: one\n\n'))
  const gateway = await start(t, upstream.url)
  const socket = connect(gateway.port, '127.0.0.1').setEncoding('latin1')
  let received = ''
  socket.on('data', (text) => (received += text))
  socket.write(`GET /api/stream HTTP/1.1\r\nHost: ${publicHost(gateway.port)}\r\nx-csrf: 1\r\n\r\n`)
  while (!received.includes('one')) await once(socket, 'data')

  socket.write('nonsense\r\n\r\n')

  upstream.arrivals[0]?.response.end('data: two\n\n')
  await closed(socket)
  const [stream = '', refusal = ''] = received.split(/(?=HTTP\/1\.1 400)/)
  assert.match(stream, /data: one\n\n.*data: two\n\n.*\r\n0\r\n\r\n$/s)
  assertRefused(refusal, 400, 'BFF_MALFORMED_REQUEST')
})

test('an error is not written before the pending answer of an earlier request', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const gateway = await start(t, upstream.url)
  const arrived = upstream.nextArrival()
  const socket = connect(gateway.port, '127.0.0.1').setEncoding('latin1')
  let received = ''
  socket.on('data', (text) => (received += text))
  socket.write(`GET /api/x HTTP/1.1\r\nHost: ${publicHost(gateway.port)}\r\nx-csrf: 1\r\n\r\n`)
  await arrived

  socket.write('nonsense\r\n\r\n')

  upstream.arrivals[0]?.response.end('at last')
  await closed(socket)
  const [answer = '', refusal = ''] = received.split(/(?=HTTP\/1\.1 400)/)
  assert.match(answer, /^HTTP\/1\.1 200 .*\r\n\r\nat last$/s)
  assertRefused(refusal, 400, 'BFF_MALFORMED_REQUEST')
})

test('the gateway serves further requests', async (t) => {
  const gateway = await start(t)
  for (const bytes of Object.values(malformed)) await exchange(gateway.port, bytes)
  assert.equal((await gateway.call('/healthz')).status, 200)
})
