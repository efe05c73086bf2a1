import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Redis } from 'ioredis'
import { startIssuer } from '../../demo/issuer.ts'
import { assertError } from '../support/assert-error.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { startRedis } from '../support/redis.ts'

/** Two gateways with one Redis, where each client has four requests a minute. */
async function start(t: TestContext) {
  const [issuer, redis] = await Promise.all([startIssuer(), startRedis()])
  t.after(() => Promise.all([issuer.close(), redis.close()]))
  const startGateway = async () => {
    const env = { REDIS_URL: redis.url, TRUST_PROXY: '10.0.0.0/8' }
    const { app } = await startInjectGateway(t, { issuer, env, extras: { limits: { requestsPerMinute: 4 } } })
    // Until then no request is counted.
    await app.sessionStore.ping()
    return (path: string, client = '192.0.2.1') =>
      app.inject({ url: path, remoteAddress: '10.0.0.1', headers: { 'x-forwarded-for': client } })
  }
  return { redis, one: await startGateway(), other: await startGateway() }
}

test('gateways that share a Redis count the requests of an address together', async (t) => {
  const { one, other } = await start(t)
  for (const gateway of [one, other, one, other]) assert.equal((await gateway('/bff/login')).statusCode, 302)

  for (const gateway of [one, other]) {
    const refused = await gateway('/bff/login')
    assertError(refused, 429, 'BFF_RATE_LIMITED')
    const seconds = Number(refused.headers['retry-after'])
    assert.ok(seconds > 0 && seconds <= 60, `${seconds}`)
    assert.deepEqual(
      Object.keys(refused.headers).filter((name) => name.startsWith('x-ratelimit')),
      [],
    )
    assert.equal((await gateway('/bff/frontchannel-logout')).statusCode, 400)
  }
  assert.equal((await one('/bff/login', '192.0.2.2')).statusCode, 302)
})

test('counts in Redis expire after a minute, and contain no address', async (t) => {
  const { redis, one } = await start(t)
  await one('/bff/login')
  const client = new Redis(redis.url)
  t.after(() => client.quit())
  const [key = '', ...others] = await client.keys('bff:rate-limit:*')
  assert.deepEqual(others, [])
  assert.match(key, /^bff:rate-limit:navigations:[\w-]{22}$/)
  assert.equal(await client.get(key), '1')
  const ttlMs = await client.pttl(key)
  assert.ok(ttlMs > 0 && ttlMs <= 60_000, `${ttlMs}`)
})

test('while Redis is down requests are neither counted nor limited', async (t) => {
  const { redis, one } = await start(t)
  for (let times = 0; times < 4; times++) await one('/bff/login')
  assert.equal((await one('/bff/login')).statusCode, 429)

  await redis.kill()
  for (let times = 0; times < 6; times++) assert.equal((await one('/bff/login')).statusCode, 302)
})

test('requests with an invalid X-Forwarded-For are counted for their peer', async (t) => {
  const [issuer, redis] = await Promise.all([startIssuer(), startRedis()])
  t.after(() => Promise.all([issuer.close(), redis.close()]))
  const env = { REDIS_URL: redis.url, TRUST_PROXY: 'true' }
  const limits = { requestsPerMinute: 20 }
  const { app } = await startInjectGateway(t, { issuer, env, extras: { limits } })
  await app.sessionStore.ping()
  const call = (name: string) =>
    app.inject({ url: '/bff/logout', remoteAddress: '192.0.2.9', headers: { 'x-forwarded-for': name } })

  for (let times = 0; times < 20; times++) {
    const made = `${'x'.repeat(8000)}${times}`
    assert.equal((await call(made)).statusCode, 302)
  }
  assertError(await call('another, 192.0.2.77'), 429, 'BFF_RATE_LIMITED')
  // Addresses of one IPv6 /64 network are one client too.
  for (let times = 0; times < 20; times++) assert.equal((await call(`2001:db8::${times}`)).statusCode, 302)
  assertError(await call('2001:db8::abc'), 429, 'BFF_RATE_LIMITED')

  const client = new Redis(redis.url)
  t.after(() => client.quit())
  const keys = await client.keys('bff:rate-limit:*')
  assert.equal(keys.length, 2)
  assert.ok(keys.every((key) => key.length < 60))
})
