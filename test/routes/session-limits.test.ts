import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { startRedis } from '../support/redis.ts'

for (const where of ['in memory', 'in Redis']) {
  test(`one login more than SESSION_MAX_PER_USER ends the user's oldest session, ${where}`, async (t) => {
    const ended: unknown[] = []
    const redis = where === 'in Redis' ? await startRedis() : undefined
    t.after(() => redis?.close())
    const { newBrowser, log } = await startInjectGateway(t, {
      env: { SESSION_MAX_PER_USER: '2', ...(redis && { REDIS_URL: redis.url }) },
      extras: { hooks: { onLogout: (...args) => void ended.push(args) } },
    })
    const bob = newBrowser()
    await bob.signIn('bob')
    const browsers = [newBrowser(), newBrowser(), newBrowser()] as const
    for (const browser of browsers) await browser.signIn('alice')

    const [first, ...others] = await Promise.all(
      [...browsers, bob].map((browser) => browser.call('/bff/user')),
    )
    assert.ok(first)
    assertError(first, 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
    assert.deepEqual(
      others.map(({ statusCode }) => statusCode),
      [200, 200, 200],
    )
    const lines = log()
      .split('\n')
      .flatMap((line) => (line.includes('session.') ? [JSON.parse(line)] : []))
    const reason = 'evicted_by_user_limit'
    const [line, ...more] = lines.filter(({ event }) => event === 'session.ended')
    const started = lines.filter(({ event, user }) => event === 'session.started' && user === line.user)
    assert.deepEqual(more, [])
    assert.equal(line.reason, reason)
    assert.equal(line.level, 30)
    assert.equal(line.sessionHash, started[0].sessionHash)
    assert.deepEqual(ended, [
      [{ issuer: (ended[0] as [{ issuer: string }])[0].issuer, subject: 'alice' }, reason],
    ])
  })
}

test('another login in the same browser ends no session of other devices', async (t) => {
  const { newBrowser, log } = await startInjectGateway(t, { env: { SESSION_MAX_PER_USER: '2' } })
  const [phone, laptop] = [newBrowser(), newBrowser()]
  for (const browser of [phone, laptop, laptop, laptop]) await browser.signIn('alice')
  for (const browser of [phone, laptop]) assert.equal((await browser.call('/bff/user')).statusCode, 200)
  assert.doesNotMatch(log(), /evicted_by_user_limit/)
})

test('when memory is full the least recently used session is evicted, which is counted, and logged once a minute', async (t) => {
  const clock = createFakeClock(Date.now())
  const { app, log } = await startInjectGateway(t, { env: { METRICS_PORT: '0' }, extras: { clock } })
  const counted = t.mock.method(app.metrics, 'sessionEnded')
  const record = { sealed: Buffer.alloc(1), ttlMs: 3_600_000, indexes: [] }
  for (let i = 0; i < 50_000; i++) await app.sessionStore.create(`${i}`, record)
  const lines = () => log().match(/"event":"session\.evicted"/g)?.length ?? 0
  assert.equal(lines(), 0)

  await app.sessionStore.create('50000', record)
  await app.sessionStore.create('50001', record)
  assert.equal(lines(), 1)
  assert.equal(await app.sessionStore.read('0'), undefined)
  assert.ok(await app.sessionStore.read('2'))

  await clock.advance(60_000)
  await app.sessionStore.create('50002', record)
  assert.equal(lines(), 2)
  assert.deepEqual(
    counted.mock.calls.map(({ arguments: [reason] }) => reason),
    ['evicted', 'evicted', 'evicted'],
  )
})

test('every key in Redis has a time to live, after all that users and probes do', async (t) => {
  const redis = await startRedis()
  const client = new Redis(redis.url)
  const { app, newBrowser } = await startInjectGateway(t, {
    env: { REDIS_URL: redis.url, SESSION_MAX_PER_USER: '2' },
  })
  t.after(async () => {
    await client.quit()
    await redis.close()
  })
  const [first, ...others] = [newBrowser(), newBrowser(), newBrowser()]
  for (const browser of [first, ...others]) await browser?.signIn('alice')
  await others[0]?.call('/bff/session')
  await others[1]?.open('/bff/logout')
  await app.inject('/bff/callback?state=x&code=y')
  await app.inject({ url: '/bff/backchannel-logout', method: 'POST', payload: { logout_token: 'x' } })
  await app.inject('/bff/frontchannel-logout?iss=https://x.example&sid=y')
  assert.equal((await app.inject('/readyz')).statusCode, 200)

  const keys = await client.keys('*')
  assert.ok(keys.length >= 5, keys.join())
  for (const key of keys) {
    const ttlMs = await client.pttl(key)
    assert.ok(key.startsWith('bff:') && ttlMs > 0, `${key} ${ttlMs}`)
  }
})
