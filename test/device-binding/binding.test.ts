import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError } from '../support/assert-error.ts'
import {
  askToRefresh,
  createDevice,
  offeredChallenge,
  post,
  refresh,
  refreshPath,
  register,
  registerPath,
  signInBound,
} from '../support/device.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { setCookies } from '../support/inject-browser.ts'
import {
  cookiesOf,
  proofCookie,
  publicUrl,
  sendFromElsewhere,
  sessionCookie,
  startBoundGateway,
} from './support.ts'

test('a login asks the browser to register, and the registration binds the session', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()

  const login = await browser.signIn()
  assert.match(
    String(login.headers['secure-session-registration']),
    /^\(ES256 RS256\);path="\/bff\/device-bound\/register";challenge="[\w-]+"$/,
  )
  assert.equal((await browser.call('/bff/session')).json().bound, false)

  const answer = await register(browser, await createDevice(), login)
  assert.equal(answer.statusCode, 200, answer.body)
  assert.match(String(answer.headers['content-type']), /^application\/json/)
  assert.equal(answer.headers['cache-control'], 'no-store')
  const [cookie = ''] = setCookies(answer)
  assert.match(
    cookie,
    /^__Host-bff-bound=[\w-]{100,400}; Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
  )
  const { session_identifier: id, ...instructions } = answer.json()
  assert.match(id, /^[\w-]{43}$/)
  const excluded = (path: string) => ({ type: 'exclude', domain: 'app.example.com', path })
  assert.deepEqual(instructions, {
    refresh_url: refreshPath,
    scope: {
      origin: publicUrl,
      include_site: false,
      scope_specification: [
        excluded('/bff/login'),
        excluded('/bff/callback'),
        excluded('/bff/silent-login'),
        excluded('/bff/logout'),
        excluded('/bff/logout-callback'),
        excluded('/bff/frontchannel-logout'),
        excluded('/bff/device-bound'),
      ],
    },
    credentials: [
      { type: 'cookie', name: proofCookie, attributes: 'Path=/; Secure; HttpOnly; SameSite=Strict' },
    ],
  })

  assert.equal((await browser.call('/bff/session')).json().bound, true)
  assert.equal((await browser.call('/bff/sessions')).json()[0].bound, true)
  const { device } = (await browser.call('/bff/diagnostics')).json().session
  assert.equal(device.algorithm, 'ES256')
  assert.match(device.boundUtc, /^\d{4}-/)
  const [bound] = gateway.log().match(/.*"session\.bound".*/) ?? []
  assert.match(bound ?? '', /"user":"Alice Example".*"sessionHash":/)
})

test('an RSA key of 2048 bits binds a session, too', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const device = await createDevice('RS256')
  const id = await signInBound(browser, device)

  assert.equal((await refresh(browser, device, id)).statusCode, 200)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('the registration needs no cookie: browsers send no Strict one after a login on another site', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const login = await browser.signIn()
  const jwt = await (await createDevice()).registration(offeredChallenge(login) ?? '')

  const headers = { 'secure-session-response': `"${jwt}"` }
  const answer = await sendFromElsewhere(gateway, {}, registerPath, { method: 'POST', headers })
  assert.equal(answer.statusCode, 200, answer.body)
  assertError(await browser.call('/bff/session'), 401, 'BFF_SESSION_NOT_BOUND', { loginUrl: '/bff/login' })
})

test('a refresh asks for a signed challenge and brings a new proof', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const first = cookiesOf(browser)[proofCookie]

  await clock.advance(9 * 60_000)
  const asked = await askToRefresh(browser, id)
  assertError(asked, 403, 'BFF_DEVICE_PROOF_REQUIRED')
  assert.deepEqual(setCookies(asked), [])
  const answer = await refresh(browser, device, id)
  assert.equal(answer.statusCode, 200, answer.body)
  assert.equal(answer.json().session_identifier, id)
  assert.notEqual(cookiesOf(browser)[proofCookie], first)

  await clock.advance(9 * 60_000)
  assert.equal((await browser.call('/bff/session')).json().bound, true)
})

test('a logout ends the binding: the next refresh tells the browser so', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const id = await signInBound(browser, await createDevice())
  const copied = cookiesOf(browser)

  const logout = await browser.open('/bff/logout')
  assert.equal(logout.statusCode, 302)
  assert.equal(browser.cookies.get(proofCookie), undefined)

  for (const cookies of [{}, copied]) {
    const headers = { 'sec-secure-session-id': `"${id}"` }
    const answer = await sendFromElsewhere(gateway, cookies, refreshPath, { method: 'POST', headers })
    assert.deepEqual([answer.statusCode, answer.json()], [200, { continue: false }])
  }
})

test('a logout needs no fresh proof, since browsers get none for it', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  await signInBound(browser, await createDevice())
  const stale = cookiesOf(browser, [sessionCookie])

  const headers = { 'sec-fetch-site': 'none' }
  const logout = await sendFromElsewhere(gateway, stale, '/bff/logout', { headers })
  assert.equal(logout.statusCode, 302)
  assert.equal((await browser.call('/bff/session')).json().isAuthenticated, false)
})

test('a new login ends the binding of the session that it replaces', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const first = await signInBound(browser, device)

  const second = await signInBound(browser, device)
  assert.notEqual(first, second)
  assert.deepEqual((await askToRefresh(browser, first)).json(), { continue: false })
  // The cookie is that of the second.
  assert.equal((await browser.call('/bff/session')).json().bound, true)
})

test('requests that a page sent while the registration was under way need no proof', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const browser = gateway.newBrowser()
  await signInBound(browser, await createDevice())
  const withoutProof = cookiesOf(browser, [sessionCookie])
  const ofPage = { 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'empty' }
  const send = (headers: Record<string, string>) =>
    sendFromElsewhere(gateway, withoutProof, '/bff/session', { headers })

  assert.equal((await send(ofPage)).statusCode, 200)
  assertError(await send({}), 401, 'BFF_SESSION_NOT_BOUND', { loginUrl: '/bff/login' })
  await clock.advance(5000)
  assertError(await send(ofPage), 401, 'BFF_SESSION_NOT_BOUND', { loginUrl: '/bff/login' })
})

test('a registration is offered again by later answers, for a minute after the login', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const browser = gateway.newBrowser()
  await browser.signIn()
  const offered = async () => offeredChallenge(await browser.call('/bff/session')) !== undefined

  assert.equal(await offered(), false, 'The first may be under way')
  await clock.advance(10_000)
  assert.equal(await offered(), true)
  assert.notEqual(offeredChallenge(await browser.call('/bff/user')), undefined)
  await clock.advance(50_000)
  assert.equal(await offered(), false)
})

test('a browser that binds no sessions works as before', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const browser = gateway.newBrowser()
  await browser.signIn()

  await clock.advance(60 * 60_000)
  assert.equal((await browser.call('/bff/session')).json().bound, false)
})

test('with SESSION_BINDING=off, and on http, nothing is offered and nothing can be registered', async (t) => {
  for (const env of [{ SESSION_BINDING: 'off' }, { PUBLIC_URL: 'http://localhost:3000' }]) {
    const { newBrowser } = await startBoundGateway(t, { env })
    const browser = newBrowser()
    assert.equal(offeredChallenge(await browser.signIn()), undefined)
    assert.equal((await browser.call('/bff/session')).json().bound, false)
    assert.equal((await post(browser, registerPath, {})).statusCode, 404)
  }
})

test('below a base path only that path is in scope, and the cookie has the name of the session cookie', async (t) => {
  const env = { PUBLIC_URL: `${publicUrl}/shop`, COOKIE_NAME: '__Host-shop' }
  const gateway = await startBoundGateway(t, { env })
  const browser = gateway.newBrowser()
  const login = await browser.signIn()
  assert.match(
    String(login.headers['secure-session-registration']),
    /;path="\/shop\/bff\/device-bound\/register";/,
  )

  const device = await createDevice()
  const jwt = await device.registration(offeredChallenge(login) ?? '')
  const answer = await post(browser, `/shop${registerPath}`, { 'secure-session-response': jwt })
  const { refresh_url, scope, credentials } = answer.json()
  assert.equal(refresh_url, `/shop${refreshPath}`)
  assert.deepEqual(
    scope.scope_specification.slice(0, 3).map(({ type, path }: Record<string, string>) => `${type} ${path}`),
    ['exclude /', 'include /shop', 'exclude /shop/bff/login'],
  )
  assert.equal(credentials[0].name, '__Host-shop-bound')
  assert.equal((await browser.call('/shop/bff/session')).json().bound, true)
})

test('a frontend on another site sends the proof wherever the session cookie goes, and may refresh it', async (t) => {
  const env = { COOKIE_SAMESITE: 'none', CORS_ORIGINS: 'https://front.example:8443,https://app.example.org' }
  const gateway = await startBoundGateway(t, { env })
  const browser = gateway.newBrowser()

  const answer = await register(browser, await createDevice(), await browser.signIn())
  assert.match(setCookies(answer).join(), /SameSite=None$/)
  const { credentials, scope, allowed_refresh_initiators } = answer.json()
  assert.equal(credentials[0].attributes, 'Path=/; Secure; HttpOnly; SameSite=None')
  assert.equal(scope.include_site, false)
  assert.deepEqual(allowed_refresh_initiators, ['front.example', 'app.example.org'])
})
