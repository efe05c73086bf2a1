import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startDpopApi, startDpopIssuer } from '../support/dpop.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import type { InjectBrowser } from '../support/inject-browser.ts'
import { type InjectGateway, newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { redisUrl } from '../support/redis.ts'

/** Two processes of one gateway, with and without `OIDC_DPOP`, as during a change of the configuration. */
async function start(t: TestContext) {
  const clock = createFakeClock(Date.now())
  const issuer = await startDpopIssuer(t, {
    clientMetadata: { dpop_bound_access_tokens: false },
  })
  const api = await startDpopApi(t, issuer, clock.now)
  const redis = await redisUrl()
  t.after(redis.close)
  const env = { API_URL: api.url, OIDC_USERINFO: 'false', SESSION_KEYS: newKey(), REDIS_URL: redis.url }
  const bearer = await startInjectGateway(t, { issuer, env, extras: { clock } })
  const bound = await startInjectGateway(t, { issuer, env: { ...env, OIDC_DPOP: 'true' }, extras: { clock } })
  return { clock, issuer, api, bearer, bound }
}

/** A call at one of them, with the cookies of a browser that signed in at the other. */
function callAt({ newBrowser, publicUrl }: InjectGateway, { cookies }: InjectBrowser, path: string) {
  return newBrowser().call(path, { headers: { cookie: cookies.headerFor(publicUrl) ?? '' } })
}

const tokenTypeOf = (answer: { json(): unknown }) =>
  (answer.json() as { accessToken: { tokenType: string } }).accessToken.tokenType

test('a session that began without a key gets one at its next renewal, and keeps it at every process', async (t) => {
  const { clock, issuer, api, bearer, bound } = await start(t)
  const browser = bearer.newBrowser()
  await browser.signIn()
  assert.equal(tokenTypeOf(await callAt(bound, browser, '/bff/session')), 'Bearer')

  await clock.advance(599_000)
  assert.equal((await callAt(bound, browser, '/api/x')).statusCode, 200, bound.log())
  await clock.advance(599_000)
  assert.equal((await browser.call('/api/x')).statusCode, 200, bearer.log())

  assert.equal(tokenTypeOf(await browser.call('/bff/session')), 'DPoP')
  const [first, second] = api.requests
  assert.ok(first?.jkt)
  assert.equal(second?.jkt, first.jkt)
  assert.notEqual(second?.token, first.token)
  assert.deepEqual(
    issuer.proven.filter(({ status }) => status === 200).map(({ proof }) => proof !== undefined),
    [false, true, true],
  )
})

test('a login that one process began can be finished by the other', async (t) => {
  const { api, bearer, bound } = await start(t)
  for (const [begins, finishes, tokenType] of [
    [bearer, bound, 'DPoP'],
    [bound, bearer, 'DPoP'],
  ] as const) {
    const browser = begins.newBrowser()
    const callback = await browser.authorize(await browser.beginLogin())
    const other = finishes.newBrowser()
    const cookie = browser.cookies.headerFor(new URL('/bff/callback', begins.publicUrl)) ?? ''
    const landed = await other.open(callback, { cookie, 'sec-fetch-site': 'cross-site' })
    assert.equal(landed.statusCode, 302, landed.body)
    assert.equal(tokenTypeOf(await other.call('/bff/session')), tokenType)
    assert.equal((await other.call('/api/x')).statusCode, 200)
  }
  assert.ok(api.requests.every(({ error }) => error === undefined))
})
