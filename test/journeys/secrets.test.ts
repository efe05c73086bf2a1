import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sessionKey, startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { collectSecrets } from './secrets.ts'
import { call, codeOf, sayExpiresIn, startWorld } from './world.ts'

test('the log of a session with many failures, at level trace, holds no secret', async (t) => {
  const { issuer, timeApi, apiUrl, browser } = await startWorld(t)
  const redis = await startRedis({ config: ['requirepass a-redis-password'] })
  t.after(redis.close)
  const redisUrl = redis.url.replace('//', '//:a-redis-password@')
  const gateway = await startGateway(t, { issuer, apiUrl, redisUrl })
  const secrets = collectSecrets(issuer, browser)
  const statusOfCall = async (path?: string) => (await call(browser, gateway, path)).status

  sayExpiresIn(issuer, 0)
  await browser.signIn(gateway.url, 'alice')
  assert.equal(await statusOfCall(), 200)
  assert.equal(await statusOfCall('/bff/session'), 200)
  assert.equal(await statusOfCall('/bff/user'), 200)

  // A repeated callback, which leads a signed-in browser on, and one with an unknown code.
  const callback = browser.answers.find(({ url }) => url.includes('/bff/callback'))?.url ?? ''
  assert.equal((await browser.fetch(callback)).status, 302)
  const login = await browser.fetch(`${gateway.url}/bff/login`)
  const state = new URL(login.headers.get('location') ?? '').searchParams.get('state')
  const forged = { code: 'a-code-never-issued', state: state ?? '', iss: issuer.issuer }
  assert.equal(
    (await browser.fetch(`${gateway.url}/bff/callback?${new URLSearchParams(forged)}`)).status,
    400,
  )

  // A cookie that can't be opened.
  const cookie = `bff=${encodeURIComponent(browser.cookies.get('bff')?.value.slice(5) ?? '')}`
  await browser.fetch(`${gateway.url}/api/gettime`, { headers: { 'x-csrf': '1', cookie } })

  await redis.stop()
  await until(async () => (await statusOfCall()) === 503)
  await redis.restart()

  // The store loses all sessions. A new login, and then API and issuer go down.
  await until(async () => (await statusOfCall()) === 401)
  sayExpiresIn(issuer, 0)
  await browser.signIn(gateway.url, 'alice')
  await issuer.close()
  assert.equal(codeOf(await call(browser, gateway)), 'BFF_ISSUER_UNAVAILABLE')
  await issuer.reopen()
  await until(async () => (await statusOfCall()) === 200)
  await timeApi.close()
  assert.equal(await statusOfCall(), 502)
  await browser.signOut(gateway.url)

  // A refresh token that the issuer refuses.
  sayExpiresIn(issuer, 0)
  await browser.signIn(gateway.url, 'bob')
  await revoke(secrets.last('refresh_token'))
  assert.equal(codeOf(await call(browser, gateway)), 'BFF_SESSION_ENDED')
  await gateway.stop()

  const known = secrets.all()
  const kinds = new Set(known.values())
  const expected = [
    'access_token',
    'refresh_token',
    'id_token',
    'code',
    'code_verifier',
    'state',
    'nonce',
    'bff',
  ]
  for (const kind of [...expected, 'client authentication', 'id_token_hint']) assert.ok(kinds.has(kind), kind)
  known.set(sessionKey, 'SESSION_KEYS').set('a-redis-password', 'password of Redis').set(forged.code, 'code')
  const output = gateway.output()
  const leaks = [...known].filter(([secret]) => secret.length > 5 && output.includes(secret))
  assert.deepEqual(
    leaks.map(([secret, kind]) => `${kind}: ${output.split('\n').find((line) => line.includes(secret))}`),
    [],
  )
  for (const event of ['token.renewal.request', 'token.renewal.failed', 'login.rejected', 'session.ended'])
    assert.ok(
      gateway.logs.some((line) => line.event === event),
      event,
    )

  async function revoke(token: string): Promise<void> {
    const { clientId, clientSecret } = issuer
    const body = new URLSearchParams({ token })
    const authorization = `Basic ${btoa(`${clientId}:${encodeURIComponent(clientSecret)}`)}`
    const answer = await fetch(`${issuer.issuer}/token/revocation`, {
      method: 'POST',
      body,
      headers: { authorization },
    })
    assert.equal(answer.status, 200, await answer.text())
  }
})
