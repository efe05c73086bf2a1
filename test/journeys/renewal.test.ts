import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGateway } from '../support/gateway.ts'
import { redisUrl } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { call, codeOf, hasExpired, sayExpiresIn, sessionOf, startWorld } from './world.ts'

test('a user signs in, calls an API for longer than a token lives, and signs out', async (t) => {
  const { issuer, timeApi, apiUrl, browser } = await startWorld(t)
  sayExpiresIn(issuer, 3, Number.POSITIVE_INFINITY)
  const gateway = await startGateway(t, { issuer, apiUrl })
  assert.equal(codeOf(await call(browser, gateway)), 'BFF_SESSION_REQUIRED')

  const landed = await browser.signIn(gateway.url, 'alice')
  assert.equal(landed.url, `${gateway.url}/`)
  const cookie = browser.cookies.get('bff')

  await until(async () => {
    const answer = await call(browser, gateway)
    assert.equal(answer.status, 200, answer.body)
    assert.equal((answer.json() as { user: string }).user, 'alice')
    return (await sessionOf(browser, gateway)).accessToken.renewals >= 3
  })

  const grants = issuer.events.refreshGrants()
  assert.ok(grants.every(({ outcome }) => outcome === 'success'))
  assert.equal(new Set(grants.map(({ refreshTokenHash }) => refreshTokenHash)).size, grants.length)
  assert.ok(new Set(timeApi.requests.map(({ accessTokenHash }) => accessTokenHash)).size >= 3)
  assert.deepEqual(browser.cookies.get('bff'), cookie, 'No renewal may set a cookie')

  await browser.signOut(gateway.url)
  assert.equal(browser.cookies.get('bff'), undefined)
  assert.equal(codeOf(await call(browser, gateway)), 'BFF_SESSION_REQUIRED')
  assert.equal(
    issuer.events.revocations().at(-1)?.tokenHash,
    issuer.events.refreshGrants().at(-1)?.issuedRefreshTokenHash,
  )
})

test('fifty parallel requests to two gateways after expiry cause one grant, and all are answered', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const redis = await redisUrl()
  t.after(redis.close)
  const one = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url })
  const shared = { PUBLIC_URL: one.url }
  const other = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url, env: shared })
  sayExpiresIn(issuer, 1)
  await browser.signIn(one.url, 'alice')
  assert.equal((await sessionOf(browser, other)).identity.name, 'Alice Example')
  await until(() => hasExpired(browser, one))

  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) => call(browser, index % 2 ? one : other)),
  )

  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  assert.deepEqual(
    issuer.events.refreshGrants().map(({ outcome }) => outcome),
    ['success'],
  )
})
