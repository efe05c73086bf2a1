import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { type Answer, createHttpBrowser } from '../../demo/http-browser.ts'
import { startNetwork } from '../chaos/network.ts'
import { startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { giveUpMs, until } from '../support/until.ts'
import { call, codeOf, sayExpiresIn, sessionOf, startWorld } from './world.ts'

/** Persists its data over a restart, as a Redis in production does. */
const onDisk = { config: ['appendonly yes', 'appendfsync always'] }

test('while Redis is down requests get 503 and no session ends, and afterwards everything works again', async (t) => {
  const { issuer, timeApi, apiUrl, browser } = await startWorld(t)
  const redis = await startRedis(onDisk)
  t.after(redis.close)
  const gateway = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url })
  await browser.signIn(gateway.url, 'alice')
  assert.equal((await call(browser, gateway)).status, 200)

  await redis.stop()
  const refused = await until(async () => {
    const answer = await call(browser, gateway)
    return answer.status !== 200 && answer
  })
  expectUnavailable(refused, 'BFF_STORE_UNAVAILABLE')
  const served = timeApi.requests.length
  const paths = ['/api/gettime', '/bff/user', '/bff/session']
  const answers = await Promise.all(paths.map((path) => call(browser, gateway, path)))
  for (const answer of answers) expectUnavailable(answer, 'BFF_STORE_UNAVAILABLE')
  assert.equal(timeApi.requests.length, served, 'No request goes on without a session')
  assert.equal((await browser.fetch(`${gateway.url}/readyz`)).status, 503)
  assert.equal((await browser.fetch(`${gateway.url}/healthz`)).status, 200)

  await redis.restart()
  await until(async () => (await call(browser, gateway)).status === 200)
  assert.equal((await sessionOf(browser, gateway)).identity.name, 'Alice Example')
  assert.equal((await browser.fetch(`${gateway.url}/readyz`)).status, 200)
})

test('a Redis that does not answer is detected in bounded time', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const redis = await startRedis()
  t.after(redis.close)
  const gateway = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url })
  await browser.signIn(gateway.url, 'alice')

  redis.pause()
  const refused = await until(async () => {
    const answer = await call(browser, gateway)
    return answer.status !== 200 && answer
  })
  expectUnavailable(refused, 'BFF_STORE_UNAVAILABLE')

  redis.resume()
  await until(async () => (await call(browser, gateway)).status === 200)
})

for (const [what, pause] of Object.entries({ answers: 'ALL', 'takes writes': 'WRITE' })) {
  test(`a Redis that ${what} only after three seconds causes a delay and no error`, async (t) => {
    const { issuer, apiUrl, browser } = await startWorld(t)
    const redis = await startRedis()
    t.after(redis.close)
    const env = { STORE_TIMEOUT: '30s' }
    const gateway = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url, env })
    await browser.signIn(gateway.url, 'alice')

    await redis.send(`CLIENT PAUSE 3000 ${pause}`)
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => [call(browser, gateway), call(browser, gateway, '/bff/user')]).flat(),
    )
    const other = createHttpBrowser({ timeoutMs: giveUpMs })
    await other.signIn(gateway.url, 'bob')

    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    assert.equal((await call(other, gateway)).status, 200)
  })
}

for (const awayMs of [0, 60]) {
  test(`a gateway that was stopped for a while does not blame its Redis, ${awayMs} ms away`, async (t) => {
    const { issuer, apiUrl, browser } = await startWorld(t)
    const redis = await startRedis()
    t.after(redis.close)
    const network = await startNetwork(redis.port, awayMs / 2)
    t.after(network.close)
    const redisUrl = `redis://127.0.0.1:${network.port}`
    const gateway = await startGateway(t, { issuer, apiUrl, redisUrl })
    await browser.signIn(gateway.url, 'alice')

    for (let stop = 0; stop < 3; stop++) {
      const answers = Array.from({ length: 50 }, () => call(browser, gateway))
      await Promise.race(answers)
      gateway.pause()
      await wait(800)
      gateway.resume()
      for (const { status, body } of await Promise.all(answers)) assert.equal(status, 200, body)
    }
  })
}

test('a thousand parallel requests are all answered', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const redis = await startRedis()
  t.after(redis.close)
  const gateway = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url })
  await browser.signIn(gateway.url, 'alice')

  const answers = await Promise.all(Array.from({ length: 1000 }, () => call(browser, gateway, '/bff/user')))

  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  assert.ok(!gateway.logs.some(({ event }) => event?.startsWith('store.dis')))
})

test('while the issuer is down calls work until the token expires, and again when the issuer is back', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const gateway = await startGateway(t, { issuer, apiUrl })
  sayExpiresIn(issuer, 10)
  await browser.signIn(gateway.url, 'alice')
  assert.equal((await call(browser, gateway)).status, 200, 'The API has learned the issuer’s keys')

  await issuer.close()
  const failed = gateway.logged(({ event }) => event === 'token.renewal.failed')
  let duringOutage = 0
  const refused = await until(async () => {
    const answer = await call(browser, gateway)
    if (answer.status !== 200) return answer
    duringOutage += 1
    return undefined
  })
  assert.ok(duringOutage > 0, 'The token was still good')
  assert.equal((await failed)['reason'], 'ECONNREFUSED')
  expectUnavailable(refused, 'BFF_ISSUER_UNAVAILABLE')
  assert.equal((refused.json() as { tokenManagementUsed: boolean }).tokenManagementUsed, true)
  assert.equal((await sessionOf(browser, gateway)).isAuthenticated, true)
  assert.equal((await browser.fetch(`${gateway.url}/readyz`)).status, 200)

  await issuer.reopen()
  await until(async () => (await call(browser, gateway)).status === 200)
  assert.equal((await sessionOf(browser, gateway)).accessToken.renewals, 1)
})

test('a gateway starts without issuer and Redis, and is ready once both are available', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const redis = await startRedis()
  t.after(redis.close)
  await issuer.close()
  await redis.stop()
  const gateway = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url })
  const readiness = () => browser.fetch(`${gateway.url}/readyz`)
  const { missing } = (await readiness()).json() as { missing: string[] }
  assert.deepEqual(missing, ['session store', 'issuer metadata'])
  expectUnavailable(await browser.fetch(`${gateway.url}/bff/login`), 'BFF_ISSUER_UNAVAILABLE')

  await issuer.reopen()
  await redis.restart()
  await until(async () => (await readiness()).status === 200)
  await browser.signIn(gateway.url, 'bob')
  assert.equal((await call(browser, gateway)).status, 200)
})

function expectUnavailable(answer: Answer, code: string): void {
  assert.equal(answer.status, 503, answer.body)
  assert.equal(codeOf(answer), code)
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  assert.deepEqual(answer.headers.getSetCookie(), [])
}
