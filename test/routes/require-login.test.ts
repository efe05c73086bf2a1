import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { assertError } from '../support/assert-error.ts'
import { locationOf, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

async function start(t: TestContext, env: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-require-login-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'index.html'), '<title>The app</title>')
  writeFileSync(join(folder, 'main.4f2a8c1e.js'), 'main()')
  const gateway = await startInjectGateway(t, {
    env: { STATIC_DIR: folder, REQUIRE_LOGIN: 'true', API_URL: 'http://localhost:9', ...env },
  })
  return { ...gateway, browser: gateway.newBrowser() }
}

const required = { loginUrl: '/bff/login' }
const crossSite = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }

test('a page redirects to the login and back to that page', async (t) => {
  const { browser } = await start(t)
  for (const [url, returnUrl] of [
    ['/', '/'],
    ['/orders/7?tab=items&q=a%26b', '/orders/7?tab=items&q=a%26b'],
    ['/a%2Fb', '/a%2Fb'],
    // Not usable as a return URL: too long, or another host.
    [`/orders?q=${'x'.repeat(8100)}`, `/orders?q=${'x'.repeat(8100)}`],
    [`/orders?q=${'x'.repeat(8200)}`, '/'],
    ['//evil.example/x', '/'],
    ['/%5cevil.example', '/'],
  ] as const) {
    const answer = await browser.open(url)
    assert.equal(answer.statusCode, 302, url)
    const location = new URL(locationOf(answer), 'http://localhost:3000')
    assert.deepEqual(
      [location.origin, location.pathname, location.searchParams.get('returnUrl')],
      ['http://localhost:3000', '/bff/login', returnUrl],
    )
    assert.equal(answer.headers['cache-control'], 'no-store')
  }
})

test('with a base path login and page are below it', async (t) => {
  const { browser } = await start(t, { PUBLIC_URL: 'https://app.example.com/shop' })
  const answer = await browser.open('/shop/orders?page=2')
  assert.equal(locationOf(answer), '/shop/bff/login?returnUrl=%2Fshop%2Forders%3Fpage%3D2')
})

test('files are for signed-in users only too, and are not stored by shared caches', async (t) => {
  const { browser } = await start(t)
  const file = () => browser.call('/main.4f2a8c1e.js')
  assertError(await file(), 401, 'BFF_SESSION_REQUIRED', required)
  assertError(await browser.call('/missing.js'), 401, 'BFF_SESSION_REQUIRED', required)
  await browser.signIn()
  assert.equal((await file()).body, 'main()')
  assert.equal((await file()).headers['cache-control'], 'private, max-age=31536000, immutable')
  assertError(await browser.call('/missing.js'), 404, 'BFF_NOT_FOUND')
  assert.equal((await browser.open('/orders')).headers['cache-control'], 'private, no-cache')
})

test('a script that accepts text/html is refused in JSON', async (t) => {
  const { browser } = await start(t)
  const asked = await browser.call('/orders', { headers: { accept: 'text/html', 'sec-fetch-mode': 'cors' } })
  assertError(asked, 401, 'BFF_SESSION_REQUIRED', required)
})

test('requests that are not for the frontend are unaffected', async (t) => {
  const { browser } = await start(t)
  assert.equal((await browser.open('/healthz')).statusCode, 200)
  assert.equal((await browser.call('/bff/session')).json().isAuthenticated, false)
  assertError(await browser.open('/bff/unknown'), 404, 'BFF_NOT_FOUND')
  assertError(await browser.call('/api/orders'), 401, 'BFF_SESSION_REQUIRED', required)
  assertError(await browser.open('/api/orders'), 403, 'BFF_CSRF_REJECTED')
})

test('a navigation from another site gets a page that reloads, with nothing of the URL in it', async (t) => {
  const { browser } = await start(t)
  const answer = await browser.open('/orders?q=%22><script>alert(1)</script>', crossSite)
  assert.equal(answer.statusCode, 200)
  assert.match(answer.body, /<meta http-equiv="refresh" content="0">/)
  assert.doesNotMatch(answer.body, /orders|alert|q=/)
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.match(String(answer.headers['content-security-policy']), /^default-src 'none'; script-src 'sha256-/)
  assert.equal(
    (await browser.open('/orders', { ...crossSite, 'sec-fetch-site': 'same-origin' })).statusCode,
    302,
  )
})

test('a browser without Fetch Metadata is admitted by one reload after its login', async (t) => {
  const { app, browser } = await start(t)
  await browser.signIn()
  const session = `bff=${browser.cookies.get('bff')?.value}`
  const open = (cookies: string[]) =>
    app.inject({ url: '/orders', headers: { accept: 'text/html', cookie: cookies.join('; ') } })

  // As after the issuer's redirect: without the Strict cookie.
  const first = await open(['bff-rounds=1.0'])
  assert.match(first.body, /http-equiv="refresh"/)
  assert.match(setCookies(first).join(), /^bff-rounds=1\.1; Max-Age=60; /)

  const second = await open(['bff-rounds=1.1', session])
  assert.match(second.body, /The app/)
  assert.equal(locationOf(await open(['bff-rounds=1.1'])), '/bff/login?returnUrl=%2Forders')
  assert.equal((await open([])).statusCode, 302)
})

test('the count of logins is kept for a minute, and reset when there is a session', async (t) => {
  const { browser } = await start(t, { PUBLIC_URL: 'https://app.example.com' })
  const callback = await browser.signIn()
  const [count] = setCookies(callback).filter((cookie) => cookie.startsWith('__Host-bff-rounds='))
  assert.equal(count, '__Host-bff-rounds=1.0; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Lax')

  assert.deepEqual(setCookies(await browser.call('/main.4f2a8c1e.js')), [])
  const [cleared] = setCookies(await browser.open('/'))
  assert.match(cleared ?? '', /^__Host-bff-rounds=; Max-Age=0; Path=\/;.* Secure; SameSite=Lax$/)
  assert.deepEqual(setCookies(await browser.open('/')), [])
})

test('without REQUIRE_LOGIN logins are not counted', async (t) => {
  const { browser } = await start(t, { REQUIRE_LOGIN: 'false' })
  const names = setCookies(await browser.signIn()).map((cookie) => cookie.split('=', 1)[0])
  assert.ok(!names.includes('bff-rounds'), names.join())
  assert.equal((await browser.open('/')).statusCode, 200)
})

test('after three logins without a session a page and the log say what is wrong', async (t) => {
  const { browser, log } = await start(t)
  const cookie = 'bff-rounds=3.0'
  const page = await browser.open('/orders', { cookie })
  assert.equal(page.statusCode, 400)
  assert.match(String(page.headers['content-type']), /^text\/html/)
  assert.match(page.body, /Logging in does not help/)
  assert.match(page.body, /<a href="\/bff\/login">/)
  assert.match(log(), /"event":"login.loop"/)
})

test('logins in a frame are not counted, as they lead to no page that could begin another', async (t) => {
  const { browser } = await start(t)
  const inFrame = { 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'iframe' }
  for (let i = 0; i < 3; i++) {
    const atIssuer = new URL(locationOf(await browser.open('/bff/login?prompt=none', inFrame)))
    assert.equal((await browser.open(await browser.authorize(atIssuer), inFrame)).statusCode, 200)
  }
  assert.equal(locationOf(await browser.open('/')), '/bff/login?returnUrl=%2F')
})

test('a store that does not answer causes no redirect to the login', async (t) => {
  const { app, browser } = await start(t)
  await browser.signIn()
  app.sessions.load = async () => {
    throw new StoreUnavailableError(new Error('down'))
  }
  const page = await browser.open('/orders')
  assert.equal(page.statusCode, 503)
  assert.match(page.body, /Session store unavailable/)
  assertError(await browser.call('/main.4f2a8c1e.js'), 503, 'BFF_STORE_UNAVAILABLE')
})
