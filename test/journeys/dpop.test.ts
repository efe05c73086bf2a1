import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { startDpopApi, startDpopIssuer } from '../support/dpop.ts'
import { startGateway } from '../support/gateway.ts'
import { redisUrl } from '../support/redis.ts'
import { giveUpMs, until } from '../support/until.ts'
import { call, hasExpired, sayExpiresIn, sessionOf } from './world.ts'

test('with DPoP, fifty parallel requests to two processes after expiry cause one grant, also of a public client', async (t) => {
  // The refresh tokens of a public client are bound to the key, too.
  const issuer = await startDpopIssuer(t, {
    accessTokenLifetime: 600,
    clientMetadata: { token_endpoint_auth_method: 'none' },
  })
  const api = await startDpopApi(t, issuer)
  const redis = await redisUrl()
  t.after(redis.close)
  const world = { issuer, apiUrl: api.url, redisUrl: redis.url }
  const env = { OIDC_DPOP: 'true', OIDC_CLIENT_AUTH: 'none', OIDC_CLIENT_SECRET: '', OIDC_USERINFO: 'false' }
  const one = await startGateway(t, { ...world, env })
  const other = await startGateway(t, { ...world, env: { ...env, PUBLIC_URL: one.url } })
  const browser = createHttpBrowser({ timeoutMs: giveUpMs })
  sayExpiresIn(issuer, 1, 2)
  await browser.signIn(one.url, 'alice')

  for (const renewals of [1, 2]) {
    await until(() => hasExpired(browser, one))
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => call(browser, index % 2 ? one : other, '/api/x')),
    )
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    assert.equal((await sessionOf(browser, other)).accessToken.renewals, renewals)
  }

  const grants = issuer.events.refreshGrants()
  assert.deepEqual(
    grants.filter(({ outcome }) => outcome === 'success').map(({ refreshTokenHash }) => refreshTokenHash)
      .length,
    2,
  )
  assert.equal(
    grants.at(-1)?.refreshTokenHash,
    grants.find(({ outcome }) => outcome === 'success')?.issuedRefreshTokenHash,
  )
  assert.ok(api.requests.every(({ error }) => error === undefined))
  assert.equal(new Set(api.requests.map(({ jkt }) => jkt)).size, 1)
  assert.equal(new Set(api.requests.map(({ token }) => token)).size, 2)
})
