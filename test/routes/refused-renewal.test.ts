import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startTimeApi } from '../../demo/time-api.ts'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { type Answer, type FaultyIssuer, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { setCookies } from '../support/inject-browser.ts'
import { type InjectGateway, newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { redisUrl } from '../support/redis.ts'
import { until } from '../support/until.ts'

const audience = 'urn:test:time-api'
const ended = { loginUrl: '/bff/login', tokenManagementUsed: true }

/** Gateways as if in separate processes, sharing one Redis if there are several. */
async function start(t: TestContext, count = 1, more: Record<string, string> = {}) {
  const issuer = await startFaultyIssuer({ apiAudience: audience })
  t.after(() => issuer.close())
  const timeApi = await startTimeApi({ issuer: issuer.issuer, audience })
  t.after(() => timeApi.close())
  const redis = count > 1 ? await redisUrl() : undefined
  if (redis) t.after(() => redis.close())
  const clock = createFakeClock(Date.now())
  const env = {
    API_URL: timeApi.url,
    ...(redis && { REDIS_URL: redis.url }),
    SESSION_KEYS: newKey(),
    OIDC_SCOPE: 'openid offline_access time:read',
    ...more,
  }
  const gateways: InjectGateway[] = []
  for (let i = 0; i < count; i++)
    gateways.push(await startInjectGateway(t, { issuer, env, extras: { clock } }))
  return { issuer, clock, gateways: gateways as [InjectGateway, ...InjectGateway[]] }
}

/** Fails all refreshes from now on. @returns how often the issuer was called */
function answerRefreshes(issuer: FaultyIssuer, status: number, body: Answer): () => number {
  let asked = 0
  issuer.rewrite('/token', (_answer, ctx) => {
    asked++
    Object.assign(ctx, { status, body })
  })
  return () => asked
}

function linesOf({ log }: InjectGateway, event: string): Record<string, unknown>[] {
  const lines = log().trim().split('\n')
  return lines.map((line) => JSON.parse(line)).filter((line) => line.event === event)
}

for (const [status, code] of [
  [400, 'interaction_required'],
  [403, 'access_denied'],
  [400, 'mfa_required'],
] as const) {
  test(`an issuer that answers ${status} ${code} to a refresh ends the session, and the log says why`, async (t) => {
    const { issuer, clock, gateways } = await start(t)
    const [gateway] = gateways
    const browser = gateway.newBrowser()
    await browser.signIn()
    answerRefreshes(issuer, status, { error: code, error_description: 'The user has to come back' })
    await clock.advance(60_000)

    const answer = await browser.call('/api/time')

    assertError(answer, 401, 'BFF_SESSION_ENDED', ended)
    assert.equal(answer.json().error, 'Failed to get access token')
    assert.equal(answer.json().details, `Token error: ${code}`)
    const [line, ...others] = linesOf(gateway, 'session.ended')
    assert.deepEqual(others, [])
    const { level, reason, user, sessionHash, oauthError, errorDescription } = line ?? {}
    assert.deepEqual([level, reason, oauthError], [30, 'refused', code])
    assert.equal(errorDescription, 'The user has to come back')
    assert.equal(typeof user, 'string')
    assert.match(String(sessionHash), /^[\w-]{22}$/)
    assertError(await browser.call('/api/time'), 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
  })
}

test('a session that the issuer refused to renew loses its cookie by /bff or a page, not by an API or a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-refused-renewal-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'index.html'), '<title>The app</title>')
  writeFileSync(join(folder, 'main.js'), 'main()')
  const { issuer, clock, gateways } = await start(t, 1, { STATIC_DIR: folder, REQUIRE_LOGIN: 'true' })
  const [{ newBrowser, publicUrl }] = gateways
  const browser = newBrowser()
  await browser.signIn()
  const other = newBrowser()
  other.cookies.store(publicUrl, [`bff=${browser.cookies.get('bff')?.value}; Path=/`])
  answerRefreshes(issuer, 400, { error: 'invalid_grant' })
  await clock.advance(60_000)

  const refused = await browser.call('/api/time')
  assertError(refused, 401, 'BFF_SESSION_ENDED', ended)
  assert.deepEqual(setCookies(refused), [])
  const file = { headers: { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' } }
  for (const later of [await browser.call('/api/time'), await browser.call('/main.js', file)]) {
    assertError(later, 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
    assert.deepEqual(setCookies(later), [])
  }

  const atPage = setCookies(await browser.open('/', { 'sec-fetch-mode': 'navigate' }))
  const atEndpoint = setCookies(await other.call('/bff/user'))
  for (const cookies of [atPage, atEndpoint])
    assert.ok(
      cookies.some((cookie) => cookie.startsWith('bff=;')),
      cookies.join(),
    )
})

test('after three invalid_request answers to refreshes, counted over all gateways, the session ends', async (t) => {
  const { issuer, clock, gateways } = await start(t, 2)
  const [here] = gateways
  const browser = here.newBrowser()
  await browser.signIn()
  const asked = answerRefreshes(issuer, 400, { error: 'invalid_request' })
  await clock.advance(60_000)

  let turn = 0
  const headers = { 'x-csrf': '1', cookie: browser.cookies.headerFor(here.publicUrl) ?? '' }
  const call = () =>
    (gateways[turn++ % 2] ?? here).app.inject({
      url: '/api/time',
      headers: { host: here.publicUrl.host, ...headers },
    })
  const answers: string[] = []
  await until(async () => {
    const answer = await call()
    answers.push(answer.json().code)
    return answer.statusCode === 401
  })

  assert.equal(asked(), 3)
  assert.ok(
    answers.slice(0, -1).every((code) => code === 'BFF_ISSUER_UNAVAILABLE'),
    answers.join(),
  )
  assert.equal(answers.at(-1), 'BFF_SESSION_ENDED')
  const lines = gateways.flatMap((gateway) => linesOf(gateway, 'session.ended'))
  assert.deepEqual(
    lines.map(({ reason, oauthError }) => [reason, oauthError]),
    [['refused', 'invalid_request']],
  )
})

test('server errors and client authentication errors of the issuer never end a session', async (t) => {
  const { issuer, clock, gateways } = await start(t)
  const [gateway] = gateways
  const browser = gateway.newBrowser()
  await browser.signIn()
  await clock.advance(60_000)
  for (const [status, error] of [
    [400, 'invalid_client'],
    [400, 'unauthorized_client'],
    [403, 'temporarily_unavailable'],
    [400, 'invalid_scope'],
    [500, 'invalid_grant'],
    [429, 'invalid_grant'],
  ] as const) {
    answerRefreshes(issuer, status, { error })
    for (let tries = 0; tries < 4; tries++) {
      const answer = await browser.call('/api/time')
      assertError(answer, 503, 'BFF_ISSUER_UNAVAILABLE', { tokenManagementUsed: true })
      await clock.advance(40_000)
    }
  }
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  assert.deepEqual(linesOf(gateway, 'session.ended'), [])
})
