import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findTokens } from '../../demo/http-browser/find-tokens.ts'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const loginUrl = '/bff/login'
const hour = 3_600_000

const alice = [
  { type: 'sub', value: 'alice' },
  { type: 'name', value: 'Alice Example' },
  { type: 'given_name', value: 'Alice' },
  { type: 'family_name', value: 'Example' },
  { type: 'preferred_username', value: 'alice' },
  { type: 'email', value: 'alice@example.test' },
  { type: 'email_verified', value: 'true' },
]

test('/bff/user is a list of claims, with the logout URL and the remaining time of the session', async (t) => {
  const clock = createFakeClock(Date.now())
  const { newBrowser } = await startInjectGateway(t, { extras: { clock } })
  const browser = newBrowser()
  await browser.signIn()

  const response = await browser.call('/bff/user')

  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['cache-control'], 'no-store')
  const claims = response.json()
  const { value: sid } = claims.find(({ type }: { type: string }) => type === 'sid')
  assert.deepEqual(claims, [
    ...alice,
    { type: 'sid', value: sid },
    { type: 'bff:logout_url', value: `/bff/logout?sid=${sid}` },
    { type: 'bff:session_expires_in', value: 28_800 },
  ])
})

test('the session view has exactly the documented members', async (t) => {
  const clock = createFakeClock(Date.now())
  const startedAt = clock.now()
  const { newBrowser } = await startInjectGateway(t, { extras: { clock } })
  const browser = newBrowser()
  await browser.signIn()
  await clock.advance(1500)

  for (const method of ['GET', 'POST'] as const) {
    const response = await browser.call('/bff/session', { method })

    assert.equal(response.statusCode, 200)
    assert.equal(response.headers['cache-control'], 'no-store')
    const { sid, ...view } = response.json()
    assert.match(sid, /^[\w-]+$/)
    assert.deepEqual(view, {
      isAuthenticated: true,
      timestamp: new Date(startedAt + 1500).toISOString(),
      claims: [...alice, { type: 'sid', value: sid }],
      identity: { isAuthenticated: true, name: 'Alice Example', authenticationType: 'oidc' },
      cookieLifetime: {
        issuedUtc: new Date(startedAt).toISOString(),
        expiresUtc: new Date(startedAt + 8 * hour).toISOString(),
        remainingTime: 28_798,
      },
      accessToken: {
        expiresUtc: new Date(startedAt + 30_000).toISOString(),
        expiresIn: 28,
        renewedUtc: null,
        renewals: 0,
        scope: 'openid profile email',
        tokenType: 'Bearer',
      },
      bound: false,
    })
  }
})

test('a POST with a JSON body is answered like one without', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const { isAuthenticated } = (await browser.call('/bff/session', { method: 'POST', payload: {} })).json()
  assert.equal(isAuthenticated, true)
})

test('the remaining time of an expired access token is 0, not negative', async (t) => {
  const clock = createFakeClock(Date.now())
  const { newBrowser } = await startInjectGateway(t, { extras: { clock } })
  const browser = newBrowser()
  await browser.signIn()
  await clock.advance(hour)
  assert.equal((await browser.call('/bff/session')).json().accessToken.expiresIn, 0)
})

test('without a session /bff/user is 401, and /bff/session says isAuthenticated: false', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()

  assertError(await browser.call('/bff/user'), 401, 'BFF_SESSION_REQUIRED', { loginUrl })
  for (const method of ['GET', 'POST'] as const) {
    const response = await browser.call('/bff/session', { method })
    assert.equal(response.statusCode, 200)
    assert.equal(response.headers['cache-control'], 'no-store')
    const { message, ...view } = response.json()
    assert.deepEqual(view, { isAuthenticated: false })
    assert.equal(typeof message, 'string')
    assert.deepEqual(setCookies(response), [])
  }
})

test('neither /bff/user nor /bff/session shows a token', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t, { issuer: { apiAudience: 'urn:test:api' } })
  const browser = newBrowser()
  await browser.signIn()
  const known = new Set(
    issuer.events.grants('authorization_code').map((grant) => grant.issuedRefreshTokenHash ?? ''),
  )
  for (const path of ['/bff/user', '/bff/session']) {
    const { body, headers } = await browser.call(path)
    const seen = { url: `http://localhost:3000${path}`, headers: new Headers({ ...headers } as never), body }
    assert.deepEqual(findTokens(seen, known), [])
    assert.doesNotMatch(body, /access_token|refresh_token|id_token|"(access|refresh|id)Token":"/)
  }
})

test('/bff/user and /bff/session demand the CSRF header and no foreign origin', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const requests = [
    { url: '/bff/user', method: 'GET' },
    { url: '/bff/session', method: 'GET' },
    { url: '/bff/session', method: 'POST' },
    { url: '/bff/user', method: 'HEAD' },
  ] as const
  const foreign: Record<string, string>[] = [
    { 'x-csrf': '' },
    { 'x-csrf': '0' },
    { 'x-csrf': 'true' },
    { 'x-csrf': '11' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://localhost:3001' },
    { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'cross-site' },
  ]
  for (const { url, method } of requests) {
    for (const headers of foreign) {
      const response = await browser.call(url, { method, headers })
      assert.equal(response.statusCode, 403, JSON.stringify(headers))
      if (method !== 'HEAD') assertError(response, 403, 'BFF_CSRF_REJECTED')
      assert.deepEqual(setCookies(response), [])
    }
    const own = await browser.call(url, { method, headers: { origin: 'http://localhost:3000' } })
    assert.equal(own.statusCode, 200)
  }
  const without = await browser.open('/bff/user')
  assertError(without, 403, 'BFF_CSRF_REJECTED')
})

test('the CSRF header can have another name', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { CSRF_HEADER: 'X-Requested-By' } })
  const browser = newBrowser()
  await browser.signIn()

  assertError(await browser.call('/bff/user'), 403, 'BFF_CSRF_REJECTED')
  assert.equal((await browser.call('/bff/user', { headers: { 'x-requested-by': '1' } })).statusCode, 200)
})

test('origins that CORS allows are not foreign', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { CORS_ORIGINS: 'https://spa.example.com' } })
  const browser = newBrowser()
  await browser.signIn()
  const from = (origin: string) =>
    browser.call('/bff/user', { headers: { origin, 'sec-fetch-site': 'cross-site' } })

  assert.equal((await from('https://spa.example.com')).statusCode, 200)
  assertError(await from('https://spa.example.com:8443'), 403, 'BFF_CSRF_REJECTED')
})
