import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { assertError } from '../support/assert-error.ts'
import {
  askToRefresh,
  createDevice,
  refresh,
  refreshChallenge,
  refreshPath,
  signInBound,
} from '../support/device.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { locationOf } from '../support/inject-browser.ts'
import { type InjectGateway, newKey } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'
import { temporaryFile } from '../support/temporary-file.ts'
import { cookiesOf, publicUrl, sendFromElsewhere, sessionCookie, startBoundGateway } from './support.ts'

const notBound = { loginUrl: '/bff/login' }

test('an API is called with a fresh proof only, by the warm line too', async (t) => {
  const api = await startApi(t)
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { env: { API_URL: api.url }, extras: { clock } })
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const withoutProof = cookiesOf(browser, [sessionCookie])

  for (let request = 1; request <= 3; request++) assert.equal((await browser.call('/api/orders')).body, 'ok')
  assert.equal(api.requests(), 3)
  assertError(
    await sendFromElsewhere(gateway, withoutProof, '/api/orders'),
    401,
    'BFF_SESSION_NOT_BOUND',
    notBound,
  )
  await clock.advance(11 * 60_000)
  for (let request = 1; request <= 2; request++)
    assertError(await browser.call('/api/orders'), 401, 'BFF_SESSION_NOT_BOUND', notBound)
  assert.equal(api.requests(), 3)

  assert.equal((await refresh(browser, device, id)).statusCode, 200)
  assert.equal((await browser.call('/api/orders')).body, 'ok')
})

test('an upstream that works without a session gets no request of a bound session without its proof', async (t) => {
  const api = await startApi(t)
  const upstreams = [
    { prefix: '/either', target: api.url, token: 'user-or-none' },
    { prefix: '/open', target: api.url, token: 'none' },
  ]
  const file = temporaryFile(t, JSON.stringify({ upstreams }))
  const gateway = await startBoundGateway(t, { env: { CONFIG_FILE: file } })
  const browser = gateway.newBrowser()
  await signInBound(browser, await createDevice())
  const withoutProof = cookiesOf(browser, [sessionCookie])

  assertError(
    await sendFromElsewhere(gateway, withoutProof, '/either'),
    401,
    'BFF_SESSION_NOT_BOUND',
    notBound,
  )
  assert.equal((await sendFromElsewhere(gateway, withoutProof, '/open')).body, 'ok')
  assert.equal((await browser.call('/either')).body, 'ok')
})

test('a WebSocket needs a fresh proof to open', async (t) => {
  const api = await startApi(t)
  const gateway = await startBoundGateway(t, { env: { API_URL: api.url } })
  const browser = gateway.newBrowser()
  await signInBound(browser, await createDevice())
  await gateway.app.listen({ host: '127.0.0.1', port: 0 })
  const open = (cookies: Record<string, string>) => {
    const cookie = Object.entries(cookies).map(([name, value]) => `${name}=${value}`)
    const { port } = gateway.app.server.address() as { port: number }
    const headers = { origin: publicUrl, host: new URL(publicUrl).host, cookie: cookie.join('; ') }
    return new WebSocket(`ws://127.0.0.1:${port}/api/socket`, { headers })
  }

  const refused = open(cookiesOf(browser, [sessionCookie]))
  refused.on('error', () => {})
  const [, response] = await once(refused, 'unexpected-response')
  assert.equal(response.statusCode, 401)

  const accepted = open(cookiesOf(browser))
  const [message] = await once(accepted, 'message')
  assert.equal(String(message), 'hello')
  accepted.terminate()
})

test('with REQUIRE_LOGIN a page without the proof asks again from our site, then logs in anew', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startPages(t, {}, clock)
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  assert.equal((await browser.open('/')).statusCode, 200)

  await clock.advance(11 * 60_000)
  // Browsers don't refresh for a navigation that another site began.
  const fromElsewhere = await browser.open('/', {
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
  })
  assert.equal(fromElsewhere.statusCode, 200)
  assert.doesNotMatch(fromElsewhere.body, /The app/)
  assert.match(locationOf(await browser.open('/', { 'sec-fetch-site': 'same-origin' })), /^\/bff\/login\?/)
  const script = await browser.call('/main.js', { headers: { 'sec-fetch-mode': 'no-cors' } })
  assertError(script, 401, 'BFF_SESSION_NOT_BOUND', notBound)

  assert.equal((await refresh(browser, device, id)).statusCode, 200)
  assert.match((await browser.open('/', { 'sec-fetch-site': 'same-origin' })).body, /The app/)
})

test('with REQUIRE_LOGIN and SESSION_BINDING=required a browser that binds nothing gets an error and no login loop', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startPages(t, { SESSION_BINDING: 'required' }, clock)
  const browser = gateway.newBrowser()
  await browser.signIn()
  assert.equal((await browser.open('/')).statusCode, 200)

  await clock.advance(61_000)
  const refused = await browser.open('/', { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate' })
  assert.equal(refused.statusCode, 401)
  assert.match(refused.body, /has not bound the session/)
})

test('a back-channel logout ends the binding', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const gateway = await startBoundGateway(t, { issuer })
  const browser = gateway.newBrowser()
  const id = await signInBound(browser, await createDevice())
  const token = await issuer.sign(logoutClaims(issuer, { sub: 'alice' }), { typ: 'logout+jwt' })

  const notice = await gateway.app.inject({
    method: 'POST',
    url: '/bff/backchannel-logout',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: String(new URLSearchParams({ logout_token: token })),
  })
  assert.equal(notice.statusCode, 200)
  assert.deepEqual((await askToRefresh(browser, id)).json(), { continue: false })
})

test('proofs and challenges outlive a rotation of SESSION_KEYS', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const [old, current] = [newKey(), newKey()]
  const before = await startBoundGateway(t, { issuer, env: { SESSION_KEYS: old } })
  const browser = before.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const proof = await device.proof(refreshChallenge(await askToRefresh(browser, id)))
  // The same store, as with Redis.
  const after = await startBoundGateway(t, { issuer, env: { SESSION_KEYS: `${current},${old}` } })
  shareStore(t, before, after)

  assert.equal((await sendFromElsewhere(after, cookiesOf(browser))).json().bound, true)
  const headers = { 'sec-secure-session-id': id, 'secure-session-response': proof }
  const post = { method: 'POST', headers } as const
  const refreshed = await sendFromElsewhere(after, cookiesOf(browser), refreshPath, post)
  assert.equal(refreshed.json().session_identifier, id)
})

test('instances with SESSION_BINDING=off demand no proof of bound sessions, and refresh them for the others', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const SESSION_KEYS = newKey()
  const before = await startBoundGateway(t, { issuer, env: { SESSION_KEYS } })
  const browser = before.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const after = await startBoundGateway(t, { issuer, env: { SESSION_KEYS, SESSION_BINDING: 'off' } })
  shareStore(t, before, after)

  const answer = await sendFromElsewhere(after, cookiesOf(browser, [sessionCookie]))
  assert.deepEqual([answer.statusCode, answer.json().bound], [200, true])
  const proof = await device.proof(refreshChallenge(await askToRefresh(browser, id)))
  const headers = { 'sec-secure-session-id': id, 'secure-session-response': proof }
  const refreshed = await sendFromElsewhere(after, cookiesOf(browser), refreshPath, {
    method: 'POST',
    headers,
  })
  assert.equal(refreshed.json().session_identifier, id)
})

test('the idle timeout slides for bound sessions, by requests and not by refreshes', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { env: { SESSION_IDLE_TIMEOUT: '20m' }, extras: { clock } })
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  for (const minutes of [9, 9]) {
    await clock.advance(minutes * 60_000)
    assert.equal((await refresh(browser, device, id)).statusCode, 200)
  }
  assert.equal((await browser.call('/bff/session')).json().cookieLifetime.remainingTime, 20 * 60)
  for (const minutes of [9, 9]) {
    await clock.advance(minutes * 60_000)
    assert.equal((await refresh(browser, device, id)).statusCode, 200)
  }
  await clock.advance(3 * 60_000)
  assert.deepEqual((await askToRefresh(browser, id)).json(), { continue: false })
})

async function startPages(
  t: TestContext,
  env: Record<string, string>,
  clock: ReturnType<typeof createFakeClock>,
) {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'index.html'), '<title>The app</title>')
  writeFileSync(join(folder, 'main.js'), 'main()')
  return startBoundGateway(t, {
    env: { STATIC_DIR: folder, REQUIRE_LOGIN: 'true', ...env },
    extras: { clock },
  })
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-bound-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** The second gateway reads the sessions of the first. */
function shareStore(t: TestContext, first: InjectGateway, second: InjectGateway): void {
  for (const name of ['read', 'peek'] as const)
    t.mock.method(second.app.sessionStore, name, first.app.sessionStore[name] as never)
}

/** Answers `ok`, and `hello` on WebSockets. */
async function startApi(t: TestContext) {
  let requests = 0
  const server = createServer((_request, response) => {
    requests++
    response.end('ok')
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.send('hello'))
  const port = await listen(server, 0)
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
  })
  return { url: `http://127.0.0.1:${port}`, requests: () => requests }
}

test('a logout needs no proof, but the ID token goes to no other device', async (t) => {
  const gateway = await startBoundGateway(t)
  for (const isOwnDevice of [true, false]) {
    const browser = gateway.newBrowser()
    await signInBound(browser, await createDevice())
    const cookies = cookiesOf(browser, isOwnDevice ? undefined : [sessionCookie])

    const answer = await sendFromElsewhere(gateway, cookies, '/bff/logout', {
      headers: { 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'none' },
    })

    assert.equal(answer.statusCode, 302)
    const { searchParams } = new URL(locationOf(answer))
    assert.equal(searchParams.has('id_token_hint'), isOwnDevice)
    assert.ok(searchParams.has('client_id') && searchParams.has('state'))
    assertError(await browser.call('/bff/user'), 401, 'BFF_SESSION_REQUIRED', notBound)
  }
})

test('a front-channel logout needs no proof', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const browser = gateway.newBrowser()
  await signInBound(browser, await createDevice())
  const { sid } = (await browser.call('/bff/session')).json()
  await clock.advance(11 * 60_000)

  const notice = new URLSearchParams({ iss: gateway.issuer.issuer, sid })
  assert.equal((await browser.open(`/bff/frontchannel-logout?${notice}`)).statusCode, 200)

  assertError(await browser.call('/bff/user'), 401, 'BFF_SESSION_REQUIRED', notBound)
})
