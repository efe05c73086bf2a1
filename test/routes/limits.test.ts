import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Limits } from '../../http/limits.ts'
import {
  exchange,
  type GatewayOptions,
  open,
  publicHost,
  readUntil,
  startGateway,
  startUpstream,
} from '../proxy/support.ts'
import { assertError } from '../support/assert-error.ts'
import { selfSignedCertificate } from '../support/certificate.ts'
import { closed } from '../support/closed.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { type InjectBrowser, locationOf } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'

const csrf = { 'x-csrf': '1' }

function start(t: TestContext, target: string, limits: Partial<Limits>, options: GatewayOptions = {}) {
  return startGateway(t, [{ target }], { ...options, extras: { limits } })
}

/** Sends the pieces one at a time for as long as the connection is open. @returns what came back */
async function dribble(port: number, beginning: string, piece: string, everyMs: number): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  socket.on('error', () => {})
  socket.write(beginning)
  const timer = setInterval(() => socket.writable && socket.write(piece), everyMs)
  let received = ''
  socket.on('data', (text) => (received += text))
  await closed(socket)
  clearInterval(timer)
  return received
}

function assertTimedOut(answer: string): void {
  assert.match(answer, /^HTTP\/1\.1 408 .*\r\n/)
  assert.match(answer, /\r\nConnection: close\r\n/)
  const body = JSON.parse(answer.split('\r\n\r\n')[1] ?? '')
  assert.deepEqual(Object.keys(body).sort(), ['code', 'details', 'error', 'requestId', 'statusCode'])
  assert.equal(body.code, 'BFF_REQUEST_TIMEOUT')
}

test('a client that sends its headers too slowly gets 408, and its connection is closed', async (t) => {
  const gateway = await start(t, 'http://127.0.0.1:9', { headersTimeoutMs: 300 })
  const answer = await dribble(gateway.port, 'GET /healthz HTTP/1.1\r\nHost: x\r\n', 'X-A: b\r\n', 20)
  assertTimedOut(answer)
})

test('an idle connection without a request is closed without an answer', async (t) => {
  const gateway = await start(t, 'http://127.0.0.1:9', { headersTimeoutMs: 300 })
  assert.equal(await exchange(gateway.port, ''), '')
})

test("a client that stops in the middle of a body gets 408, and the upstream's connection is closed", async (t) => {
  const upstream = await startUpstream(t, ({ request }) => request.resume())
  const gateway = await start(t, upstream.url, { bodyIdleTimeoutMs: 500 })
  const arriving = upstream.nextArrival()
  const head = 'POST /api/x HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\nContent-Length: 100000\r\n\r\n'

  const answer = exchange(gateway.port, `${head}abc`)

  const { request } = await arriving
  const cut = closed(request.on('error', () => {}))
  assertTimedOut(await answer)
  await cut
  assert.equal(request.complete, false)
})

test('a client that stops in the middle of a body for a gateway endpoint gets 408', async (t) => {
  const gateway = await start(t, 'http://127.0.0.1:9', { bodyIdleTimeoutMs: 100 })
  const form = 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100'
  const head = `POST /bff/backchannel-logout HTTP/1.1\r\nHost: x\r\n${form}\r\n\r\n`

  assertTimedOut(await exchange(gateway.port, `${head}logout_token=`))
})

test('a client that was answered and stops sending its body is disconnected', async (t) => {
  const gateway = await start(t, 'http://127.0.0.1:9', { bodyIdleTimeoutMs: 100 })
  const head = 'POST /api/x HTTP/1.1\r\nHost: GATEWAY\r\nContent-Length: 100000\r\n\r\n'

  const answer = await exchange(gateway.port, `${head}abc`)

  assert.match(answer, /^HTTP\/1\.1 403 /)
  assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1)
})

test('an injected request has no idle timeout', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const bodyIdleTimeoutMs = 100
  const { app } = await startInjectGateway(t, { extras: { limits: { bodyIdleTimeoutMs } } })
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const request = {
    method: 'POST',
    url: '/bff/backchannel-logout',
    headers,
    payload: 'logout_token=x',
  } as const

  assertError(await app.inject(request), 400, 'BFF_LOGOUT_REJECTED')

  t.mock.timers.tick(2 * bodyIdleTimeoutMs)
})

test('an upload whose data arrived while the process was stalled is not aborted', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const bodyIdleTimeoutMs = 1000
  const upstream = await startUpstream(t, ({ request, response }) =>
    request.once('end', () => response.end('ok')),
  )
  const gateway = await start(t, upstream.url, { bodyIdleTimeoutMs })
  const arriving = upstream.nextArrival()
  const socket = connect(gateway.port, '127.0.0.1').setEncoding('latin1')
  const length = 100_000
  socket.write(
    `POST /api/x HTTP/1.1\r\nHost: ${publicHost(gateway.port)}\r\nx-csrf: 1\r\nContent-Length: ${length}\r\n\r\na`,
  )
  const { request } = await arriving
  await once(request, 'data')
  t.mock.timers.tick(bodyIdleTimeoutMs)

  // As after a stall: the timer runs before the data is read from the socket.
  socket.write('b'.repeat(length - 1))
  t.mock.timers.tick(bodyIdleTimeoutMs)

  const [answer] = await once(socket, 'data')
  assert.match(answer, /^HTTP\/1\.1 200 /)
  socket.destroy()
})

test('a longer upload is not aborted while data arrives', async (t) => {
  const limits = { headersTimeoutMs: 1000, bodyIdleTimeoutMs: 1000 }
  const upstream = await startUpstream(t)
  const gateway = await start(t, upstream.url, limits)
  const outgoing = open(gateway.port, '/api/x', { method: 'POST', chunked: true })
  const began = performance.now()
  const answered = once(outgoing, 'response')
  const timer = setInterval(() => {
    if (performance.now() - began < 3 * limits.bodyIdleTimeoutMs) return void outgoing.write('x')
    clearInterval(timer)
    outgoing.end()
  }, 10)

  const [answer] = await answered

  assert.equal(answer.statusCode, 200)
  assert.equal(await readUntil(answer, 'ok'), 'ok')
})

test('an upload that the upstream reads slowly is not aborted', async (t) => {
  const bodyIdleTimeoutMs = 500
  const upstream = await startUpstream(t, ({ request, response }) => {
    setTimeout(() => request.resume().once('end', () => response.end('ok')), 3 * bodyIdleTimeoutMs)
  })
  const gateway = await start(t, upstream.url, { bodyIdleTimeoutMs })
  // More than all buffers on the way can hold.
  const body = Buffer.alloc(32 * 1024 * 1024)

  const answer = await gateway.call('/api/x', { method: 'POST', body })

  assert.equal(answer.status, 200)
  assert.equal(answer.text, 'ok')
})

test('an idle event stream is not aborted', async (t) => {
  const limits = { headersTimeoutMs: 1000, bodyIdleTimeoutMs: 1000 }
  const upstream = await startUpstream(t, ({ response }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: one\n\n')
    setTimeout(() => response.end('data: two\n\n'), 3 * limits.headersTimeoutMs)
  })
  const gateway = await start(t, upstream.url, limits)
  const outgoing = open(gateway.port, '/api/x')
  outgoing.end()
  const [answer] = await once(outgoing, 'response')

  assert.match(await readUntil(answer, 'two'), /one.*two/s)
})

test('a URL that is too long is refused with 414', async (t) => {
  const gateway = await start(t, 'http://127.0.0.1:9', {})
  const answer = await exchange(gateway.port, `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`)
  assert.match(answer, /^HTTP\/1\.1 414 /)
  assert.equal(JSON.parse(answer.split('\r\n\r\n')[1] ?? '').code, 'BFF_URL_TOO_LONG')
})

test('gateway endpoints read at most 64 KiB, a proxied body may be larger', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await start(t, upstream.url, {})
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const send = (path: string, length: number) =>
    gateway.call(path, { method: 'POST', headers, body: 'x'.repeat(length) })

  const tooLarge = await send('/bff/backchannel-logout', 64 * 1024 + 1)
  assert.equal(tooLarge.status, 413)
  assert.equal(JSON.parse(tooLarge.text).code, 'BFF_BODY_TOO_LARGE')
  assert.equal((await send('/bff/backchannel-logout', 64 * 1024)).status, 400)
  assert.equal((await send('/api/x', 2 * 1024 * 1024)).status, 200)
})

test('idle connections are kept longer than load balancers keep theirs', async (t) => {
  const { app } = await startInjectGateway(t)
  assert.equal(app.server.keepAliveTimeout, 75_000)
})

test('KEEP_ALIVE_TIMEOUT sets how long an idle client connection is kept, with and without TLS', async (t) => {
  const { cert, key } = selfSignedCertificate()
  const folder = await mkdtemp(join(tmpdir(), 'fastify-bff-'))
  t.after(() => rm(folder, { recursive: true }))
  const tls = { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') }
  await Promise.all([writeFile(tls.TLS_CERT_FILE, cert), writeFile(tls.TLS_KEY_FILE, key)])
  for (const env of [{}, tls]) {
    const { app } = await startInjectGateway(t, { env: { ...env, KEEP_ALIVE_TIMEOUT: '10m' } })
    assert.equal(app.server.keepAliveTimeout, 600_000)
  }
})

test('a client that calls the public endpoints too often is limited, others are not', async (t) => {
  const { app } = await startInjectGateway(t, {
    env: { TRUST_PROXY: '10.0.0.0/8' },
    extras: { limits: { requestsPerMinute: 4 } },
  })
  const call = (url: string, client = '192.0.2.1', headers = {}) =>
    app.inject({ url, remoteAddress: '10.0.0.1', headers: { 'x-forwarded-for': client, ...headers } })

  for (const path of ['login', 'callback', 'logout', 'login']) {
    assert.notEqual((await call(`/bff/${path}`)).statusCode, 429)
  }
  for (const path of ['login', 'callback', 'logout']) {
    const refused = await call(`/bff/${path}`)
    assertError(refused, 429, 'BFF_RATE_LIMITED')
    const seconds = Number(refused.headers['retry-after'])
    assert.ok(seconds > 0 && seconds <= 60, `${seconds}`)
    assert.deepEqual(
      Object.keys(refused.headers).filter((name) => name.startsWith('x-ratelimit')),
      [],
    )
  }
  const page = await call('/bff/login', '192.0.2.1', { accept: 'text/html' })
  assert.equal(page.statusCode, 429)
  assert.match(String(page.headers['content-type']), /^text\/html/)

  assert.equal((await call('/bff/login', '192.0.2.2')).statusCode, 302)
  assert.equal((await call('/healthz')).statusCode, 200)
  assert.equal((await call('/bff/session', '192.0.2.1', csrf)).statusCode, 200)
  assert.equal((await call('/api/x', '192.0.2.1', csrf)).statusCode, 404)
})

test('logout tokens that do not verify are limited, separately from logins; valid ones never are', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { app, newBrowser, log } = await startInjectGateway(t, {
    issuer,
    extras: { limits: { requestsPerMinute: 3 } },
  })
  const browser = newBrowser()
  await browser.signIn()
  const { sid } = (await browser.call('/bff/session')).json()
  await app.inject('/bff/logout')
  assertError(await app.inject('/bff/logout'), 429, 'BFF_RATE_LIMITED')
  const send = (token: string) =>
    app.inject({
      method: 'POST',
      url: '/bff/backchannel-logout',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ logout_token: token }).toString(),
    })

  const forged = `${(await issuer.sign(logoutClaims(issuer, { sid }))).slice(0, -4)}AAAA`
  for (const token of ['x', forged, '']) assertError(await send(token), 400, 'BFF_LOGOUT_REJECTED')
  const lines = log().length
  for (const token of ['x', forged, '']) {
    const refused = await send(token)
    assertError(refused, 429, 'BFF_RATE_LIMITED')
    assert.ok(Number(refused.headers['retry-after']) > 0)
  }
  assert.doesNotMatch(log().slice(lines), /"event":"logout\.rejected"/)
  for (let times = 0; times < 10; times++) {
    const notice = await issuer.sign(logoutClaims(issuer, times === 9 ? { sid } : { sub: `user-${times}` }))
    assert.equal((await send(notice)).statusCode, 200)
  }
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
})

test('hundreds of valid logout tokens at once are not limited, and end as many sessions', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { app } = await startInjectGateway(t, { issuer, extras: { limits: { requestsPerMinute: 50 } } })
  const users = Array.from({ length: 400 }, (_, number) => `user-${number}`)
  const begun = await Promise.all(
    users.map((subject) =>
      app.sessions.create({
        issuer: issuer.issuer,
        subject,
        sid: `sid of ${subject}`,
        claims: { sub: subject },
        tokenSet: { accessToken: 't', tokenType: 'Bearer', obtainedAt: Date.now() },
      }),
    ),
  )
  const tokens = await Promise.all(
    users.map((subject) => issuer.sign(logoutClaims(issuer, { sid: `sid of ${subject}` }))),
  )
  const { markerTtlMs } = app.sessionStore
  const { verifyLogoutToken } = app.issuer
  const store = Promise.withResolvers<void>()
  let [verified, underWay, most] = [0, 0, 0]
  t.mock.method(app.issuer, 'verifyLogoutToken', async (token: string) => {
    const notice = await verifyLogoutToken(token)
    // The store answers when the other notices are waiting.
    if (++verified === users.length) setImmediate(store.resolve)
    return notice
  })
  t.mock.method(app.sessionStore, 'markerTtlMs', async (name: string) => {
    most = Math.max(most, ++underWay)
    await store.promise
    const ttlMs = await markerTtlMs(name)
    underWay--
    return ttlMs
  })

  const answers = await Promise.all(
    tokens.map((token) =>
      app.inject({
        method: 'POST',
        url: '/bff/backchannel-logout',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: new URLSearchParams({ logout_token: token }).toString(),
      }),
    ),
  )

  assert.deepEqual([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
  assert.equal(most, 100)
  const left = await Promise.all(begun.map(({ reference }) => app.sessions.load(reference)))
  assert.deepEqual(left.filter(Boolean), [])
})

test('codes that the issuer refuses are limited per client, without affecting others or a later login', async (t) => {
  const clock = createFakeClock(Date.now())
  const { app, issuer, newBrowser } = await startInjectGateway(t, {
    env: { TRUST_PROXY: '10.0.0.0/8' },
    extras: { clock, limits: { refusedCodesPerMinute: 5 } },
  })
  const from = (client: string) => ({ 'x-forwarded-for': client })
  const inject = app.inject.bind(app)
  t.mock.method(app, 'inject', (options: object) => inject({ remoteAddress: '10.0.0.1', ...options }))
  const attack = async (client: string) => {
    const attacker = newBrowser()
    const login = await attacker.open('/bff/login', from(client))
    const state = new URL(locationOf(login)).searchParams.get('state')
    const query = new URLSearchParams({ code: 'made-up', state: String(state), iss: issuer.issuer })
    return attacker.open(`/bff/callback?${query}`, { accept: '*/*', ...from(client) })
  }
  const redemptions = () => issuer.events.grants('authorization_code').length

  for (let times = 0; times < 5; times++)
    assertError(await attack('192.0.2.1'), 400, 'BFF_LOGIN_REJECTED', { loginUrl: '/bff/login' })
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  for (let times = 0; times < 5; times++) assertError(await attack('192.0.2.1'), 429, 'BFF_RATE_LIMITED')
  assert.equal(redemptions(), 5)
  const waiting = await browser.open(callback, from('192.0.2.1'))
  assert.equal(waiting.statusCode, 429)
  assert.ok(Number(waiting.headers['retry-after']) > 0)
  const other = newBrowser()
  const itsCallback = await other.authorize(await other.beginLogin())
  assert.equal((await other.open(itsCallback, from('192.0.2.2'))).statusCode, 302)

  await clock.advance(60_000)
  assert.equal((await browser.open(callback, from('192.0.2.1'))).statusCode, 302)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('a signed-in user can log in again while others at the same address make up codes, but not make up as many', async (t) => {
  const { issuer, newBrowser } = await startInjectGateway(t, {
    extras: { limits: { refusedCodesPerMinute: 2 } },
  })
  const makeUp = async (browser: InjectBrowser) => {
    const state = (await browser.beginLogin()).searchParams.get('state')
    const query = new URLSearchParams({ code: 'made-up', state: String(state), iss: issuer.issuer })
    return (await browser.open(`/bff/callback?${query}`)).statusCode
  }
  const redemptions = () => issuer.events.grants('authorization_code').length
  const user = newBrowser()
  await user.signIn()
  const newcomer = newBrowser()
  const callback = await newcomer.authorize(await newcomer.beginLogin())

  for (const expected of [400, 400, 429]) assert.equal(await makeUp(newBrowser()), expected)
  assert.equal((await newcomer.open(callback)).statusCode, 429)
  assert.equal((await user.open(await user.authorize(await user.beginLogin()))).statusCode, 302)

  const before = redemptions()
  for (const expected of [400, 400, 429, 429]) assert.equal(await makeUp(user), expected)
  assert.equal(redemptions() - before, 2)
})

for (const [status, error] of [
  [429, 'too_many_requests'],
  [400, 'temporarily_unavailable'],
  [400, 'invalid_client'],
] as const)
  test(`logins that fail because the issuer answers ${status} ${error} do not limit others`, async (t) => {
    const issuer = await startFaultyIssuer()
    t.after(() => issuer.close())
    const { newBrowser } = await startInjectGateway(t, {
      issuer,
      extras: { limits: { refusedCodesPerMinute: 2 } },
    })
    issuer.rewrite('/token', (_answer, ctx) => {
      ctx.status = status
      ctx.body = { error }
    })
    for (let times = 0; times < 3; times++) {
      const browser = newBrowser()
      const callback = await browser.authorize(await browser.beginLogin())
      assert.equal((await browser.open(callback)).statusCode, 400)
    }
    issuer.rewrite('/token')
    await newBrowser().signIn()
  })

test('codes that the issuer refuses without an OAuth error are limited too', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser } = await startInjectGateway(t, {
    issuer,
    extras: { limits: { refusedCodesPerMinute: 2 } },
  })
  issuer.rewrite('/token', (_answer, ctx) => {
    ctx.status = 400
    ctx.body = { message: 'no such code' }
  })
  const statuses: number[] = []
  for (let times = 0; times < 3; times++) {
    const browser = newBrowser()
    statuses.push((await browser.open(await browser.authorize(await browser.beginLogin()))).statusCode)
  }
  assert.equal(statuses[2], 429)
})

test('invalid codes from many addresses are limited in total', async (t) => {
  const { issuer, app, newBrowser } = await startInjectGateway(t, {
    env: { TRUST_PROXY: '10.0.0.0/8' },
    extras: { limits: { refusedCodesPerMinute: 2 } },
  })
  const inject = app.inject.bind(app)
  t.mock.method(app, 'inject', (options: object) => inject({ remoteAddress: '10.0.0.1', ...options }))
  const statuses = new Map<number, number>()
  for (let client = 0; client < 25; client++) {
    const headers = { 'x-forwarded-for': `192.0.2.${client}` }
    const attacker = newBrowser()
    const state = new URL(locationOf(await attacker.open('/bff/login', headers))).searchParams.get('state')
    const query = new URLSearchParams({ code: 'x', state: String(state), iss: issuer.issuer })
    const { statusCode } = await attacker.open(`/bff/callback?${query}`, headers)
    statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1)
  }
  assert.deepEqual(Object.fromEntries(statuses), { 400: 20, 429: 5 })
  assert.equal(issuer.events.grants('authorization_code').length, 20)
})

test('hundreds of users behind one address can sign in at once', async (t) => {
  const { app } = await startInjectGateway(t)
  for (let users = 0; users < 1000; users++) {
    assert.notEqual((await app.inject('/bff/login')).statusCode, 429)
    assert.notEqual((await app.inject('/bff/callback')).statusCode, 429)
  }
})
