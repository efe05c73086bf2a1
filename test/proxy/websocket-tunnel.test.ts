import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import type { AppExtras } from '../../app.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { closed } from '../support/closed.ts'
import { until } from '../support/until.ts'
import {
  errorCode,
  type Gateway,
  holdTokenRequests,
  open as openRequest,
  readUntil,
  signIn,
  startGateway,
  startTcpUpstream,
  type WantedUpstream,
} from './support.ts'

const key = Buffer.alloc(16, 'key').toString('base64')
const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const agreed = [
  ...['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'],
  `Sec-WebSocket-Accept: ${accept}`,
]

function lines(...all: string[]): string {
  return `${all.join('\r\n')}\r\n\r\n`
}

/** The opening handshake of a page of our own origin. */
function handshake({ url }: Gateway, ...further: string[]): string {
  return lines(
    ...['GET /api/socket HTTP/1.1', `Host: ${new URL(url).host}`, `Origin: ${url}`, 'Connection: Upgrade'],
    ...['Upgrade: websocket', `Sec-WebSocket-Key: ${key}`, 'Sec-WebSocket-Version: 13', ...further],
  )
}

/** The browser's end, and the bytes that it has received. */
function connectTo(t: TestContext, { port }: Gateway) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).setEncoding('latin1')
  t.after(() => socket.destroy())
  const browser = { socket, received: '' }
  socket.on('error', () => {}).on('data', (text) => (browser.received += text))
  return browser
}

async function receives(browser: { received: string }, text: string): Promise<void> {
  await until(() => browser.received.includes(text))
}

/** An upstream that answers a handshake with these lines, and its end of the connection. */
async function startRaw(t: TestContext, answer: string, upstream: Partial<WantedUpstream> = {}) {
  const { promise: connected, resolve } = Promise.withResolvers<Socket>()
  const { url: target } = await startTcpUpstream(t, (socket) => {
    socket.allowHalfOpen = true
    socket.write(answer, 'latin1')
    resolve(socket)
  })
  return { gateway: await startGateway(t, [{ target, ...upstream }]), connected }
}

/** An upstream for signed-in users, which lets `judge` refuse handshakes. */
async function startJudging(
  t: TestContext,
  judge: (request: IncomingMessage) => string | undefined,
  extras: AppExtras = {},
) {
  const server = createServer()
  const sockets = new WebSocketServer({ noServer: true })
  const handshakes: IncomingMessage[] = []
  server.on('upgrade', (request, socket, head) => {
    handshakes.push(request)
    const refusal = judge(request)
    if (refusal === undefined) sockets.handleUpgrade(request, socket, head, (opened) => opened.send('hello'))
    else socket.end(refusal)
  })
  server.on('request', (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  const target = `http://127.0.0.1:${await listen(server, 0)}`
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
  })
  const issuer = await startIssuer({ accessTokenLifetime: 3600 })
  t.after(() => issuer.close())
  const gateway = await startGateway(t, [{ target, token: 'user' }], { issuer, extras })
  return { issuer, gateway, handshakes, cookie: await signIn(gateway) }
}

function openSocket(t: TestContext, { port, url }: Gateway, cookie: string): WebSocket {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api/socket`, { headers: { origin: url, cookie } })
  t.after(() => socket.terminate())
  return socket.on('error', () => {})
}

async function refusalOf(socket: WebSocket) {
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
  const text = Buffer.concat(await response.toArray()).toString()
  return { status: response.statusCode, headers: response.headers, text }
}

test("the browser gets the upstream's refusal: status, body, and permitted headers", async (t) => {
  const refusal = lines(
    ...['HTTP/1.1 403 Forbidden', 'Content-Type: text/plain', 'Set-Cookie: a=b', 'Content-Length: 4'],
  )
  const { gateway } = await startRaw(t, `${refusal}nope`)
  const browser = connectTo(t, gateway)
  browser.socket.write(handshake(gateway))
  await once(browser.socket, 'end')

  assert.match(browser.received, /^HTTP\/1\.1 403 Forbidden\r\n/)
  assert.match(browser.received, /\r\ncontent-type: text\/plain\r\n/i)
  assert.match(browser.received, /\r\nconnection: close\r\n/i)
  assert.doesNotMatch(browser.received, /set-cookie/i)
  assert.match(browser.received, /\r\n\r\nnope$/)
})

test('a 401 of the upstream leads to one renewal and one retry', async (t) => {
  const { issuer, gateway, handshakes, cookie } = await startJudging(t, () =>
    handshakes.length === 1 ? lines('HTTP/1.1 401 Unauthorized', 'Content-Length: 0') : undefined,
  )
  const [text] = await once(openSocket(t, gateway, cookie), 'message')

  assert.equal(String(text), 'hello')
  assert.equal(issuer.events.refreshGrants().length, 1)
  const [first, second] = handshakes.map(({ headers }) => headers.authorization)
  assert.notEqual(first, second)
  assert.equal(handshakes[0]?.headers['sec-websocket-key'], handshakes[1]?.headers['sec-websocket-key'])
})

test('if a browser disconnects before the renewal for a refused handshake fails nothing stays open at the upstream', async (t) => {
  const connected = Promise.withResolvers<Socket>()
  const { url: target } = await startTcpUpstream(t, (socket) => {
    // The body never ends.
    socket.write(lines('HTTP/1.1 401 Unauthorized', 'Transfer-Encoding: chunked'))
    connected.resolve(socket)
  })
  const issuer = await startIssuer({ accessTokenLifetime: 3600 })
  t.after(() => issuer.close())
  const gateway = await startGateway(t, [{ target, token: 'user' }], { issuer })
  const cookie = await signIn(gateway)
  const { arrived, release } = holdTokenRequests(issuer, 503)
  const browser = openSocket(t, gateway, cookie)
  await arrived
  const gone = closed(gateway.sockets.at(-1) ?? assert.fail())
  browser.terminate()
  await gone

  release()

  await closed(await connected.promise)
  const faults = gateway.logs.filter(({ level }) => Number(level) >= 50)
  assert.deepEqual(faults, [])
})

test('if an upstream answers every token with 401 the browser gets it, after one retry', async (t) => {
  const { issuer, gateway, handshakes, cookie } = await startJudging(t, () =>
    lines('HTTP/1.1 401 Unauthorized', 'Content-Length: 0'),
  )
  assert.equal((await refusalOf(openSocket(t, gateway, cookie))).status, 401)
  assert.equal((await refusalOf(openSocket(t, gateway, cookie))).status, 401)

  assert.equal(handshakes.length, 3)
  assert.equal(issuer.events.refreshGrants().length, 1)
})

for (const [what, answer] of [
  ['no Upgrade', lines('HTTP/1.1 101 Switching Protocols')],
  ['another protocol', lines(agreed[0] ?? '', 'Upgrade: h2c', ...agreed.slice(2))],
  ['no Connection: Upgrade', lines(...agreed.filter((line) => !line.startsWith('Connection')))],
  ['no Sec-WebSocket-Accept', lines(...agreed.slice(0, 3))],
  ['another Sec-WebSocket-Accept', lines(...agreed.slice(0, 3), `Sec-WebSocket-Accept: ${key}`)],
  ['bytes that are not HTTP', 'hello\r\n\r\n'],
] as const) {
  test(`a 101 with ${what} is a fault of the upstream: 502`, async (t) => {
    const { gateway } = await startRaw(t, answer)
    const browser = connectTo(t, gateway)
    browser.socket.write(handshake(gateway))
    await once(browser.socket, 'end')

    assert.match(browser.received, /^HTTP\/1\.1 502 /)
    assert.equal(errorCode({ text: browser.received.split('\r\n\r\n')[1] ?? '' }), 'BFF_UPSTREAM_UNREACHABLE')
  })
}

test('an upstream that accepts and sends nothing, or only interim answers: 504', async (t) => {
  for (const answer of ['', 'HTTP/1.1 102 Processing\r\n\r\n']) {
    const { gateway } = await startRaw(t, answer, { timeoutMs: 100 })
    const browser = connectTo(t, gateway)
    browser.socket.write(handshake(gateway))
    await once(browser.socket, 'end')
    assert.match(browser.received, /^HTTP\/1\.1 504 .*"BFF_UPSTREAM_TIMEOUT"/s)
  }
})

test('bytes that either end sends with its handshake arrive unchanged', async (t) => {
  const { gateway, connected } = await startRaw(t, `${lines(...agreed)}\x00from the upstream\xff`)
  const browser = connectTo(t, gateway)
  browser.socket.write(Buffer.from(`${handshake(gateway)}\x00from the browser\xff`, 'latin1'))
  const upstream = await connected
  let received = ''
  upstream.on('data', (chunk) => (received += chunk.toString('latin1')))

  await receives(browser, '\r\n\r\n\x00from the upstream\xff')
  await until(() => received.endsWith('\x00from the browser\xff'))
  assert.ok(browser.received.includes(`\r\nsec-websocket-accept: ${accept}\r\n`))
})

test('extensions and subprotocols are negotiated between browser and upstream', async (t) => {
  const chosen = ['Sec-WebSocket-Protocol: b', 'Sec-WebSocket-Extensions: x-own; level=1']
  const { gateway, connected } = await startRaw(t, lines(...agreed, ...chosen, 'Set-Cookie: a=b'))
  const browser = connectTo(t, gateway)
  browser.socket.write(
    handshake(gateway, 'Sec-WebSocket-Protocol: a, b', 'Sec-WebSocket-Extensions: x-own, permessage-deflate'),
  )
  await connected
  await receives(browser, '\r\n\r\n')
  assert.match(browser.received, /\r\nsec-websocket-protocol: b\r\n/)
  assert.match(browser.received, /\r\nsec-websocket-extensions: x-own; level=1\r\n/)
  assert.doesNotMatch(browser.received, /set-cookie/i)
})

for (const first of ['browser', 'upstream'] as const) {
  test(`after the ${first} has half-closed, the other end may still send`, async (t) => {
    const { gateway, connected } = await startRaw(t, lines(...agreed))
    const browser = connectTo(t, gateway)
    browser.socket.write(handshake(gateway))
    await receives(browser, '\r\n\r\n')
    const upstream = await connected
    const [one, other] = first === 'browser' ? [browser.socket, upstream] : [upstream, browser.socket]
    const said = once(other.resume(), 'end')

    one.end('last')
    await said
    const answered = once(one.resume(), 'end')
    other.end('not quite')

    await Promise.all([answered, closed(one), closed(other)])
  })

  test(`a ${first} that resets its connection closes the other`, async (t) => {
    const { gateway, connected } = await startRaw(t, lines(...agreed))
    const browser = connectTo(t, gateway)
    browser.socket.write(handshake(gateway))
    await receives(browser, '\r\n\r\n')
    const upstream = await connected
    const [one, other] = first === 'browser' ? [browser.socket, upstream] : [upstream, browser.socket]
    const ended = once(other.resume(), 'end')

    one.resetAndDestroy()

    await ended
  })
}

test('a session has a limit of event streams and WebSockets together, and closed ones free their place', async (t) => {
  const extras = { limits: { streamsPerSession: 2 } }
  const { gateway, cookie } = await startJudging(t, () => undefined, extras)
  const other = await signIn(gateway, 'bob')
  const first = openSocket(t, gateway, cookie)
  await once(first, 'open')
  const events = openRequest(gateway.port, '/api/events', { headers: { cookie } })
  events.on('error', () => {}).end()
  const [stream] = (await once(events, 'response')) as [IncomingMessage]
  await readUntil(stream, 'data: 1')

  const refused = await refusalOf(openSocket(t, gateway, cookie))
  assert.deepEqual([refused.status, errorCode(refused)], [429, 'BFF_RATE_LIMITED'])
  assert.ok(Number(refused.headers['retry-after']) > 0)
  const refusedStream = await gateway.call('/api/events', { headers: { cookie } })
  assert.deepEqual([refusedStream.status, errorCode(refusedStream)], [429, 'BFF_RATE_LIMITED'])
  assert.match(String(refusedStream.headers['content-type']), /^application\/json/)
  await once(openSocket(t, gateway, other), 'open')

  for (const close of [() => first.terminate(), () => events.destroy()]) {
    close()
    await until(async () => {
      const socket = openSocket(t, gateway, cookie)
      return new Promise<boolean>((resolve) => {
        socket.once('open', () => resolve(true)).once('unexpected-response', () => resolve(false))
      })
    })
  }
})

test('failed handshakes do not count towards the limit', async (t) => {
  const extras = { limits: { streamsPerSession: 1 } }
  const { gateway, cookie } = await startJudging(
    t,
    () => lines('HTTP/1.1 403 No', 'Content-Length: 0'),
    extras,
  )
  for (let times = 0; times < 3; times++) {
    await until(async () => (await refusalOf(openSocket(t, gateway, cookie))).status === 403)
  }
})

test('a handshake that needs a stronger login is refused with the login URL, and causes no renewal', async (t) => {
  const challenge = 'Bearer error="insufficient_user_authentication", acr_values="gold", max_age="60"'
  const refusal = lines(
    ...[
      'HTTP/1.1 401 Unauthorized',
      `WWW-Authenticate: ${challenge}`,
      'BFF-Login-URL: https://evil.example/',
    ],
    'Content-Length: 0',
  )
  const { gateway, handshakes, cookie } = await startJudging(t, () => refusal)
  const { status, headers } = await refusalOf(openSocket(t, gateway, cookie))
  assert.deepEqual([status, headers['www-authenticate']], [401, challenge])
  assert.equal(headers['bff-login-url'], '/bff/login?acr_values=gold&max_age=60')
  assert.equal(handshakes.length, 1)
  assert.ok(!gateway.logs.some(({ event }) => event === 'token.renewal.due'))
})
