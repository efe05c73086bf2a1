import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import type { AppExtras } from '../../app.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { closed } from '../support/closed.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import {
  errorCode,
  type Gateway,
  signIn,
  startGateway,
  unreachableUrl,
  type WantedUpstream,
} from './support.ts'

interface SocketApi {
  url: string
  handshakes: IncomingMessage[]
  /** The messages, each with its type. */
  received: EventEmitter<{ message: [text: string, binary: boolean] }>
}

/** A remote API that echoes everything. */
async function startSocketApi(t: TestContext): Promise<SocketApi> {
  const server = createServer()
  const sockets = new WebSocketServer({ server, path: '/v1/echo' })
  const handshakes: IncomingMessage[] = []
  const received = new EventEmitter<{ message: [string, boolean] }>()
  sockets.on('connection', (socket, request) => {
    handshakes.push(request)
    socket.on('message', (data, binary) => {
      received.emit('message', String(data), binary)
      socket.send(data, { binary })
    })
  })
  const url = `http://127.0.0.1:${await listen(server, 0)}/v1`
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
  })
  return { url, handshakes, received }
}

function open({ port, url }: Gateway, headers: Record<string, string> = {}, protocols: string[] = []) {
  const socket = new WebSocket(`ws://localhost:${port}/api/echo?a=1`, protocols, {
    headers: { origin: url, ...headers },
  })
  socket.on('error', () => {})
  return socket
}

/** The answer to an opening handshake other than 101. */
function handshake(
  { call, url }: Gateway,
  headers: Record<string, string> = {},
  path = '/api/echo',
  method = 'GET',
) {
  const needed = {
    ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
    'sec-websocket-key': Buffer.alloc(16).toString('base64'),
  }
  return call(path, { method, headers: { origin: url, ...needed, ...headers } })
}

/** The status of a handshake that was refused. */
async function refusal(socket: WebSocket): Promise<number | undefined> {
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
  response.resume()
  return response.statusCode
}

async function start(t: TestContext, upstream: Partial<WantedUpstream> = {}, extras: AppExtras = {}) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const api = await startSocketApi(t)
  const gateway = await startGateway(t, [{ target: api.url, token: 'user', ...upstream }], { issuer, extras })
  return { issuer, api, gateway, cookie: await signIn(gateway) }
}

test("messages pass both ways, with the user's token and no forged headers", async (t) => {
  const { api, gateway, cookie } = await start(t)
  const socket = open(gateway, { cookie, authorization: 'Bearer forged', 'x-custom': '1' }, ['chat', 'other'])
  await once(socket, 'open')
  assert.equal(socket.protocol, 'chat')

  socket.send('hello')
  const [text, isBinary] = await once(socket, 'message')
  assert.deepEqual([String(text), isBinary], ['hello', false])
  socket.send(Buffer.from([0, 1, 2]))
  const [bytes, isBinaryToo] = await once(socket, 'message')
  assert.deepEqual([[...bytes], isBinaryToo], [[0, 1, 2], true])

  const [handshake] = api.handshakes
  assert.equal(handshake?.url, '/v1/echo?a=1')
  const { headers } = handshake ?? {}
  assert.match(headers?.authorization ?? '', /^Bearer (?!forged)/)
  assert.equal(headers?.cookie, undefined)
  assert.equal(headers?.['x-custom'], '1')
  assert.equal(headers?.['x-forwarded-for'], '127.0.0.1')
  assert.equal(headers?.['sec-websocket-protocol'], 'chat,other')
  socket.close(4000, 'done')
  assert.deepEqual((await once(socket, 'close')).map(String), ['4000', 'done'])
})

test('a handshake with another Origin, or without one, is refused', async (t) => {
  const { api, gateway, cookie } = await start(t)

  for (const origin of ['https://evil.example', 'null', `${gateway.url}.evil.example`]) {
    assert.equal(await refusal(open(gateway, { cookie, origin })), 403, origin)
  }
  const nameless = new WebSocket(`ws://localhost:${gateway.port}/api/echo`, { headers: { cookie } })
  nameless.on('error', () => {})
  assert.equal(await refusal(nameless), 403)
  const crossSite = open(gateway, { cookie, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' })
  assert.equal(await refusal(crossSite), 403)
  assert.equal(api.handshakes.length, 0)
})

test('a request with only Upgrade is no handshake, and needs the CSRF header', async (t) => {
  const { gateway, cookie } = await start(t)
  const headers = { cookie, origin: gateway.url, upgrade: 'websocket', 'x-csrf': '0' }

  for (const method of ['GET', 'POST']) {
    const answer = await gateway.call('/api/echo', { method, headers })
    assert.equal(answer.status, 403)
    assert.equal(errorCode(answer), 'BFF_CSRF_REJECTED')
  }
})

test('an invalid opening handshake is answered in JSON, with the supported version', async (t) => {
  const { api, gateway, cookie } = await start(t)
  const faults = [
    { headers: { 'sec-websocket-key': 'too short' } },
    { headers: { 'sec-websocket-version': '8' } },
    { headers: { 'sec-websocket-protocol': 'chat, chat' } },
    { headers: { 'sec-websocket-protocol': 'chat room' } },
    { method: 'POST', headers: {} },
  ]
  for (const { method = 'GET', headers } of faults) {
    const answer = await handshake(gateway, { cookie, ...headers }, '/api/echo', method)
    assert.equal(answer.status, 400)
    assert.equal(errorCode(answer), 'BFF_MALFORMED_REQUEST')
    assert.equal(answer.headers['sec-websocket-version'], '13')
  }
  assert.equal(api.handshakes.length, 0)
})

test('without a session there is no WebSocket', async (t) => {
  const { api, gateway } = await start(t)

  assert.equal(await refusal(open(gateway)), 401)
  assert.equal(await refusal(open(gateway, { cookie: 'bff=tampered' })), 401)
  assert.equal(api.handshakes.length, 0)
})

test('a path that would leave the upstream is refused', async (t) => {
  const { api, gateway, cookie } = await start(t)
  const socket = new WebSocket(`ws://localhost:${gateway.port}/api/%2e%2e%2fecho`, {
    headers: { cookie, origin: gateway.url },
  })
  socket.on('error', () => {})
  assert.equal(await refusal(socket), 400)
  assert.equal(api.handshakes.length, 0)
})

test('an unreachable upstream: 502 in JSON, without its address', async (t) => {
  const target = await unreachableUrl()
  const { gateway, cookie } = await start(t, { target })

  const answer = await handshake(gateway, { cookie })
  assert.equal(answer.status, 502)
  assert.equal(errorCode(answer), 'BFF_UPSTREAM_UNREACHABLE')
  assert.doesNotMatch(answer.text, new RegExp(new URL(target).port))
})

test('a WebSocket stays open while the tokens of its session are renewed, and the next one gets the new token', async (t) => {
  const clock = createFakeClock(Date.now())
  const { issuer, api, gateway, cookie } = await start(t, {}, { clock })
  const before = open(gateway, { cookie })
  await once(before, 'open')
  before.send('before')
  await once(before, 'message')

  await clock.advance(31_000)
  const after = open(gateway, { cookie })
  await once(after, 'open')
  after.send('after')
  await once(after, 'message')
  before.send('still here')
  const [text] = await once(before, 'message')

  assert.equal(String(text), 'still here')
  assert.equal(issuer.events.refreshGrants().length, 1)
  const [first, second] = api.handshakes.map(({ headers }) => headers.authorization)
  assert.notEqual(first, second)
  for (const socket of [before, after]) socket.terminate()
})

test('a logout closes the WebSockets of its session, and no others', async (t) => {
  const { gateway, cookie } = await start(t)
  const other = await signIn(gateway, 'bob')
  const [mine, theirs] = [open(gateway, { cookie }), open(gateway, { cookie: other })]
  await Promise.all([once(mine, 'open'), once(theirs, 'open')])
  const mineClosed = closed(mine)

  const response = await gateway.call('/bff/logout', { headers: { cookie, 'sec-fetch-site': 'same-origin' } })
  assert.equal(response.status, 302)
  await mineClosed

  theirs.send('still here')
  const [text] = await once(theirs, 'message')
  assert.equal(String(text), 'still here')
  theirs.terminate()
})

/** The log lines and the metric of upstream answers. */
function reported({ logs }: Gateway) {
  return logs
    .filter(({ event }) => event === 'upstream.response')
    .map(({ method, url, statusCode, durationMs, reqId, user }) => {
      assert.ok(Number(durationMs) >= 0)
      assert.ok(reqId)
      return [method, url, statusCode, user]
    })
}

test('each handshake with the upstream is logged with its own request, and counted', async (t) => {
  const { api, gateway, cookie } = await start(t)
  const other = await signIn(gateway, 'bob')
  const sockets = [open(gateway, { cookie }), open(gateway, { cookie: other })]
  await Promise.all(sockets.map((socket) => once(socket, 'open')))
  for (const socket of sockets) socket.send('hello')
  await Promise.all(sockets.map((socket) => once(socket, 'message')))

  const line = ['GET', `${api.url}/echo`, 101]
  assert.deepEqual(reported(gateway).toSorted(), [
    [...line, 'Alice Example'],
    [...line, 'Bob Example'],
  ])
  for (const socket of sockets) socket.terminate()
})

test('a handshake that the upstream refuses is logged with its status', async (t) => {
  const server = createServer()
  server.on('upgrade', (_request, socket) =>
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'),
  )
  const target = `http://127.0.0.1:${await listen(server, 0)}`
  t.after(() => stop(server))
  const { gateway, cookie } = await start(t, { target })
  assert.equal((await handshake(gateway, { cookie })).status, 403)
  assert.deepEqual(reported(gateway), [['GET', `${target}/echo`, 403, 'Alice Example']])
})

test('a handshake without an answer counts as unreachable, and the log has the reason', async (t) => {
  const { gateway, cookie } = await start(t, { target: await unreachableUrl() })
  assert.equal((await handshake(gateway, { cookie })).status, 502)
  assert.deepEqual(reported(gateway), [])
  const [line = assert.fail()] = gateway.logs.filter(({ level }) => Number(level) >= 50)
  assert.equal((line['err'] as { code: string }).code, 'BFF_UPSTREAM_UNREACHABLE')
  assert.match(JSON.stringify(line), /ECONNREFUSED/)
})

test('a browser that disconnects while its upstream opens the WebSocket leaves none open', async (t) => {
  const server = createServer()
  const target = `http://127.0.0.1:${await listen(server, 0)}`
  const { gateway, cookie } = await start(t, { target, connectTimeoutMs: 60_000 })
  const browser = open(gateway, { cookie })
  const [, theirs] = (await once(server, 'upgrade')) as [IncomingMessage, Socket]
  t.after(async () => {
    theirs.destroy()
    await stop(server)
  })
  const ended = once(theirs.resume(), 'end')

  browser.terminate()

  await ended
  assert.deepEqual(
    gateway.logs.filter(({ level }) => Number(level) >= 50),
    [],
  )
})
