import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Arrival, publicHost, startGateway, startUpstream } from '../proxy/support.ts'
import { until } from '../support/until.ts'

const form = 'application/x-www-form-urlencoded'
const bodyIdleTimeoutMs = 100
const stopsInBody = 'Content-Length: 1000\r\n\r\nabc'

/** A request for `/api/first` is waiting for its answer on a connection, and so does everything behind it. */
async function start(t: TestContext) {
  const upstream = await startUpstream(t, ({ request }) => request.resume().on('error', () => {}))
  const limits = { bodyIdleTimeoutMs, headersTimeoutMs: 300 }
  const gateway = await startGateway(t, [{ target: upstream.url }], { extras: { limits } })
  const host = `Host: ${publicHost(gateway.port)}\r\n`
  const socket = connect(gateway.port, '127.0.0.1').setEncoding('latin1')
  t.after(() => socket.destroy())
  let received = ''
  socket.on('data', (text) => (received += text)).on('error', () => {})
  const closed = once(socket, 'close')
  const first = upstream.nextArrival()
  socket.write(`GET /api/first HTTP/1.1\r\n${host}x-csrf: 1\r\n\r\n`)

  return {
    gateway,
    upstream,
    first: await first,
    /** @param head of the request, without `Host` */
    send: (head: string) => socket.write(head.replace('\r\n', `\r\n${host}`)),
    sendSecond() {
      const arrival = upstream.nextArrival()
      socket.write(`GET /api/second HTTP/1.1\r\n${host}x-csrf: 1\r\n\r\n`)
      return arrival
    },
    isLogged: (code: string) => until(() => gateway.logs.some((line) => JSON.stringify(line).includes(code))),
    /** Status and body of each answer, once the gateway has closed the connection. */
    async answers() {
      await closed
      return received.split(/(?=HTTP\/1\.1 )/).map((answer) => {
        const [head = '', body = ''] = answer.split('\r\n\r\n')
        const status = Number(head.split(' ')[1])
        return [status, body.startsWith('{') ? JSON.parse(body).code : body]
      })
    },
  }
}

function answer({ response }: Arrival): void {
  response.end('first')
}

const first = [200, 'first']

for (const [what, head, theirs] of [
  ['is being forwarded', 'POST /api/x HTTP/1.1\r\nx-csrf: 1\r\n', [408, 'BFF_REQUEST_TIMEOUT']],
  ['was refused', 'POST /api/x HTTP/1.1\r\n', [403, 'BFF_CSRF_REJECTED']],
] as const)
  test(`a body that stops and ${what} does not cost the answer to the request before it`, async (t) => {
    const pipeline = await start(t)
    t.mock.timers.enable({ apis: ['setInterval'] })
    const isForwarded = theirs[0] === 408 && pipeline.upstream.nextArrival()
    // Without a byte of the body where it is refused: nothing is left to be read.
    pipeline.send(head + (isForwarded ? stopsInBody : 'Content-Length: 1000\r\n\r\n'))
    await (isForwarded || pipeline.isLogged('BFF_CSRF_REJECTED'))
    t.mock.timers.tick(2 * bodyIdleTimeoutMs)

    answer(pipeline.first)

    assert.deepEqual(await pipeline.answers(), [first, theirs])
  })

for (const [what, bytes, theirs, event] of [
  ['whose headers stop', 'GET /api/x HTTP/1.1\r\nX-A:', [408, 'BFF_REQUEST_TIMEOUT'], 'clientError'],
  [
    'with too large headers',
    `GET /x HTTP/1.1\r\nX-A: ${'x'.repeat(40_000)}\r\n\r\n`,
    [431, 'BFF_HEADERS_TOO_LARGE'],
    'clientError',
  ],
  [
    'with a too large body',
    `POST /bff/backchannel-logout HTTP/1.1\r\nContent-Type: ${form}\r\nContent-Length: 1000000\r\n\r\n`,
    [413, 'BFF_BODY_TOO_LARGE'],
    'request',
  ],
  ['that is CONNECT', 'CONNECT a:1 HTTP/1.1\r\n\r\n', [405, 'BFF_METHOD_NOT_ALLOWED'], 'connect'],
  ['that is no HTTP', 'nonsense\r\n\r\n', [400, 'BFF_MALFORMED_REQUEST'], 'clientError'],
] as const)
  test(`a request ${what} is answered after the request before it`, async (t) => {
    const pipeline = await start(t)
    const seen = once(pipeline.gateway.app.server, event)
    pipeline.send(bytes)
    await seen
    answer(pipeline.first)
    assert.deepEqual(await pipeline.answers(), [first, theirs])
  })

test('a body whose framing breaks after its request was answered gets no second answer', async (t) => {
  const pipeline = await start(t)
  answer(pipeline.first)
  pipeline.send('POST /api/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  await pipeline.isLogged('BFF_CSRF_REJECTED')
  pipeline.send('nonsense\r\n\r\n')
  assert.deepEqual(await pipeline.answers(), [first, [403, 'BFF_CSRF_REJECTED']])
})

test('an answer that breaks off while it waits for the one before it closes the connection', {
  timeout: 20_000,
}, async (t) => {
  const pipeline = await start(t)
  const { app } = pipeline.gateway
  let queued: ServerResponse | undefined
  app.server.once('request', (_request, response) => {
    queued = response
  })
  const { response } = await pipeline.sendSecond()
  response.writeHead(200, { 'content-length': 100 }).write('half')
  await until(() => queued?.headersSent)
  response.destroy()
  await until(() => queued?.destroyed)

  answer(pipeline.first)

  assert.deepEqual(await pipeline.answers(), [first])
})

test('a gateway that closes answers every request that came on a connection before', async (t) => {
  const pipeline = await start(t)
  const { response } = await pipeline.sendSecond()

  void pipeline.gateway.app.close()
  answer(pipeline.first)
  await until(() => pipeline.gateway.logs.filter(({ event }) => event === 'upstream.response').length === 1)
  response.end('second')

  assert.deepEqual(await pipeline.answers(), [first, [200, 'second']])
})
