import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findTokens } from '../../demo/http-browser/find-tokens.ts'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const apiAudience = 'urn:test:api'

test("diagnostics show kinds, hashes, expiries and claims of the session's tokens", async (t) => {
  const clock = createFakeClock(Date.now())
  const { newBrowser, issuer } = await startInjectGateway(t, { issuer: { apiAudience }, extras: { clock } })
  const browser = newBrowser()
  await browser.signIn()

  const response = await browser.call('/bff/diagnostics')

  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['cache-control'], 'no-store')
  const { timestamp, session, accessToken, refreshToken, idToken } = response.json()
  assert.equal(timestamp, new Date(clock.now()).toISOString())
  assert.equal(session.issuer, issuer.issuer)
  assert.equal(session.subject, 'alice')
  assert.equal(session.claims.name, 'Alice Example')
  assert.equal(session.expiresIn, 28_800)
  assert.equal(session.lifetimeEndsUtc, new Date(clock.now() + 7 * 86_400_000).toISOString())
  assert.deepEqual([session.renewals, session.renewedUtc], [0, null])

  assert.equal(accessToken.kind, 'jwt')
  assert.equal(accessToken.claims.aud, apiAudience)
  assert.equal(accessToken.tokenType, 'Bearer')
  assert.equal(accessToken.expiresIn, 30)
  assert.match(accessToken.hash, /^[\w-]{22}$/)
  assert.deepEqual([refreshToken.kind, refreshToken.claims], ['opaque', null])
  assert.match(refreshToken.hash, /^[\w-]{22}$/)
  assert.equal(idToken.claims.sub, 'alice')

  const known = issuer.events.grants('authorization_code').map((grant) => grant.issuedRefreshTokenHash ?? '')
  const seen = { url: 'http://localhost:3000/bff/diagnostics', headers: new Headers(), body: response.body }
  assert.deepEqual(findTokens(seen, new Set(known)), [])
})

test('diagnostics need a session and the CSRF header, and do not prolong the session', async (t) => {
  const clock = createFakeClock(Date.now())
  const { newBrowser } = await startInjectGateway(t, { extras: { clock } })
  const browser = newBrowser()
  assertError(await browser.call('/bff/diagnostics'), 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
  await browser.signIn()
  assertError(await browser.open('/bff/diagnostics'), 403, 'BFF_CSRF_REJECTED')

  await clock.advance(3_600_000)
  assert.equal((await browser.call('/bff/diagnostics')).json().session.expiresIn, 25_200)
  assert.equal((await browser.call('/bff/diagnostics')).json().session.expiresIn, 25_200)
})

test('in production there are no diagnostics', async (t) => {
  const env = { NODE_ENV: 'production', PUBLIC_URL: 'https://app.example.com' }
  const { newBrowser } = await startInjectGateway(t, { env })
  const browser = newBrowser()
  await browser.signIn()
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  assertError(await browser.call('/bff/diagnostics'), 404, 'BFF_NOT_FOUND')
})
