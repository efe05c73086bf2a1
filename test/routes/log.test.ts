import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startTimeApi } from '../../demo/time-api.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { type InjectGateway, newKey, startInjectGateway } from '../support/inject-gateway.ts'

const audience = 'urn:test:time-api'

/** A gateway that logs at level trace, and every secret that it handles. */
async function start(t: TestContext) {
  const issuer = await startFaultyIssuer({ apiAudience: audience })
  t.after(() => issuer.close())
  const timeApi = await startTimeApi({ issuer: issuer.issuer, audience })
  t.after(() => timeApi.close())
  const clock = createFakeClock(Date.now())
  const key = newKey()
  const secrets = new Set([issuer.clientSecret, key])
  const keep = (value: unknown) => {
    if (typeof value === 'string' && value !== '') secrets.add(value)
  }
  issuer.provider.on('grant.success', (ctx) => {
    for (const name of ['code', 'code_verifier', 'refresh_token']) keep(ctx.oidc.params?.[name])
    for (const name of ['access_token', 'refresh_token', 'id_token']) {
      keep((ctx.body as Record<string, unknown>)[name])
    }
  })
  const env = { API_URL: timeApi.url, SESSION_KEYS: key, OIDC_SCOPE: 'openid offline_access time:read' }
  const gateway = await startInjectGateway(t, { issuer, env, extras: { clock } })
  return { ...gateway, issuer, clock, secrets, keep }
}

type Started = Awaited<ReturnType<typeof start>>

/** Signs in, and collects the secrets that go through the browser. */
async function signIn({ newBrowser, keep }: Started) {
  const browser = newBrowser()
  const url = await browser.beginLogin({ returnUrl: '/return-url-of-the-user' })
  for (const name of ['state', 'nonce']) keep(url.searchParams.get(name))
  for (const { value } of browser.cookies.all()) keep(value)
  const callback = await browser.authorize(url)
  keep(new URL(callback, 'http://localhost').searchParams.get('code'))
  await browser.open(callback)
  for (const { value } of browser.cookies.all()) keep(value)
  return { browser, callback }
}

function assertKeepsSecrets({ log }: InjectGateway, secrets: Set<string>): void {
  const text = log()
  for (const secret of secrets) {
    for (const form of [secret, decodeURIComponent(secret), encodeURIComponent(secret)]) {
      assert.ok(!text.includes(form), `${form.slice(0, 12)}… is in the log`)
    }
  }
  assert.doesNotMatch(text, /eyJ[\w-]{8,}|Bearer [\w-]{8,}|code=|state=/)
}

test('at level trace the log of a whole session holds no token, cookie, code or state', async (t) => {
  const gateway = await start(t)
  const { clock, secrets, issuer, log } = gateway

  const { browser, callback } = await signIn(gateway)
  await browser.open(callback)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  assert.equal((await browser.call('/api/gettime?secret=of-the-query')).statusCode, 200)
  await clock.advance(40_000)
  assert.equal((await browser.call('/api/gettime')).statusCode, 200)
  assert.equal(issuer.events.refreshGrants().length, 1)
  assert.equal((await browser.open('/bff/logout')).statusCode, 302)

  // Two of each token, code, verifier, state, nonce, cookies, client secret and key.
  assert.ok(secrets.size >= 13, `${secrets.size} secrets`)
  assertKeepsSecrets(gateway, secrets)
  assert.doesNotMatch(log(), /of-the-query/)
  for (const event of [
    'session.started',
    'session.ended',
    'token.acquire',
    'upstream.response',
    'token.renewal.done',
  ]) {
    assert.match(log(), new RegExp(`"event":"${event.replaceAll('.', '\\.')}"`))
  }
})

test('the log of failed logins holds no token, cookie, code or state either', async (t) => {
  const gateway = await start(t)
  const { newBrowser, issuer, secrets, keep, log } = gateway
  let code: string | null = ''
  const faults: Parameters<typeof issuer.rewrite>[1][] = [
    (answer) => Object.assign(answer, { id_token: `${answer['id_token']}x` }),
    (answer) => Object.assign(answer, { access_token: undefined }),
    (_answer, ctx) => Object.assign(ctx, { status: 500 }),
    (answer, ctx) => Object.assign(ctx, { body: `{"access_token":${answer['access_token']}}`, type: 'json' }),
    (answer, ctx) => Object.assign(ctx, { body: `${answer['refresh_token']}`, type: 'json' }),
    (_answer, ctx) =>
      Object.assign(ctx, {
        status: 400,
        body: { error: 'invalid_grant', error_description: `No such code: ${code}` },
      }),
  ]
  for (const fault of faults) {
    issuer.rewrite('/token', fault)
    const { callback } = await signIn(gateway)
    const { searchParams } = new URL(callback, 'http://localhost')
    keep(searchParams.get('state'))
    code = searchParams.get('code')
    await newBrowser().open(callback)
    await newBrowser().open(callback.replace('callback', 'callback%zz'))
    await newBrowser().open(callback.replace('callback', 'unknown'))
  }
  assert.equal(log().match(/"event":"login\.rejected"/g)?.length, faults.length)
  assertKeepsSecrets(gateway, secrets)
  assert.match(log(), /"errorDescription":"No such code: …"/)
})

test('log lines name user and session, so that a session can be followed without its cookie', async (t) => {
  const gateway = await start(t)
  const { browser } = await signIn(gateway)
  await browser.call('/api/gettime')

  const lines = gateway
    .log()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const { user, sessionHash, reqId } = lines.find(({ event }) => event === 'token.acquire')
  assert.equal(user, 'alice')
  assert.match(sessionHash, /^[\w-]{22}$/)
  assert.match(reqId, /^[\da-f-]{36}$/)
})

test('the log has a reason why a login was rejected', async (t) => {
  const { issuer, newBrowser, log } = await start(t)
  issuer.rewrite('/token', (_answer, ctx) =>
    Object.assign(ctx, { status: 401, body: { error: 'invalid_client' } }),
  )
  const browser = newBrowser()
  await browser.open(await browser.authorize(await browser.beginLogin({ returnUrl: '/' })))
  assert.match(log(), /"event":"login.rejected","reason":"invalid_client"/)
})

test('a code given as the error of a callback is not logged', async (t) => {
  const { newBrowser, log } = await start(t)
  const browser = newBrowser()
  const callback = new URL(await browser.authorize(await browser.beginLogin()), 'http://localhost')
  const code = String(callback.searchParams.get('code'))
  callback.searchParams.set('error', `code=${code}`)

  assert.equal((await browser.open(callback.pathname + callback.search)).statusCode, 400)

  assert.match(log(), /"event":"login.rejected","reason":"OAUTH_AUTHORIZATION_RESPONSE_ERROR"/)
  assert.ok(!log().includes(code))
})
