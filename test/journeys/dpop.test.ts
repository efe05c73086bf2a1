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
  sayExpiresIn(issuer, 1)
  await browser.signIn(one.url, 'alice')
  await until(() => hasExpired(browser, one))

  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) => call(browser, index % 2 ? one : other, '/api/x')),
  )

  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  assert.equal((await sessionOf(browser, other)).accessToken.renewals, 1)
  // The next renewal is at the other process, with the refresh token that the first one has stored.
  const hasRenewed = one.logs.some(({ event }) => event === 'token.renewal.done')
  let refusals = 1
  api.judge = () => (refusals-- > 0 ? 'invalid_token' : undefined)
  assert.equal((await call(browser, hasRenewed ? other : one, '/api/y')).status, 200)
  const granted = issuer.events.refreshGrants().filter(({ outcome }) => outcome === 'success')
  assert.equal(granted.length, 2)
  assert.equal(granted[1]?.refreshTokenHash, granted[0]?.issuedRefreshTokenHash)
  const accepted = api.requests.filter(({ error }) => error === undefined)
  assert.equal(new Set(accepted.map(({ jkt }) => jkt)).size, 1)
})
