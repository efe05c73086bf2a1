import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import type { InjectBrowser } from '../support/inject-browser.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { redisUrl } from '../support/redis.ts'

const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0'

async function listOf(browser: InjectBrowser) {
  const answer = await browser.call('/bff/sessions')
  assert.equal(answer.statusCode, 200, answer.body)
  return answer.json()
}

for (const where of ['in memory', 'in Redis']) {
  test(`users see their sessions in all browsers, the one used last first, ${where}`, async (t) => {
    const redis = where === 'in Redis' ? await redisUrl() : undefined
    t.after(() => redis?.close())
    const { newBrowser } = await startInjectGateway(t, {
      env: { TRUST_PROXY: 'true', ...(redis && { REDIS_URL: redis.url }) },
    })
    const [phone, laptop, bob] = [newBrowser(), newBrowser(), newBrowser()]
    await phone.signIn('alice', { 'user-agent': 'A phone', 'x-forwarded-for': '203.0.113.7' })
    await laptop.signIn('alice', { 'user-agent': firefox, 'x-forwarded-for': '[2001:db8:0::1]:4711' })
    await bob.signIn('bob')

    const listed = await listOf(laptop)
    assert.equal(listed.length, 2)
    const [own, other] = listed
    assert.deepEqual(Object.keys(own).sort(), [
      'address',
      'bound',
      'createdAt',
      'current',
      'id',
      'lastUsedAt',
      'userAgent',
    ])
    assert.deepEqual(
      [own.current, own.userAgent, own.address, own.bound],
      [true, firefox, '2001:db8::1', false],
    )
    assert.deepEqual(
      [other.current, other.userAgent, other.address, other.bound],
      [false, 'A phone', '203.0.113.7', false],
    )
    for (const { createdAt, lastUsedAt } of listed) {
      for (const time of [createdAt, lastUsedAt]) assert.equal(new Date(time).toISOString(), time)
    }
    const fromPhone = await listOf(phone)
    assert.deepEqual(fromPhone.map(({ id }: { id: string }) => id).sort(), [own.id, other.id].sort())
    assert.equal((await listOf(bob)).length, 1)
  })
}

test('the last use and the browser follow the session, without a write for every request', async (t) => {
  const clock = createFakeClock(Date.now())
  const { app, newBrowser } = await startInjectGateway(t, { extras: { clock } })
  const writes = t.mock.method(app.sessionStore, 'updateProfile')
  const browser = newBrowser()
  await browser.signIn('alice', { 'user-agent': 'Before' })
  const begunAt = clock.now()
  assert.equal(writes.mock.callCount(), 0)

  await clock.advance(59_000)
  for (let i = 0; i < 5; i++) await browser.call('/bff/user', { headers: { 'user-agent': 'After' } })
  assert.equal(writes.mock.callCount(), 0)
  assert.equal((await listOf(browser))[0].lastUsedAt, new Date(begunAt).toISOString())

  await clock.advance(1000)
  for (let i = 0; i < 5; i++) await browser.call('/bff/user', { headers: { 'user-agent': 'After' } })
  assert.equal(writes.mock.callCount(), 1)
  const [session] = await listOf(browser)
  assert.deepEqual(
    [session.createdAt, session.lastUsedAt, session.userAgent],
    [new Date(begunAt).toISOString(), new Date(begunAt + 60_000).toISOString(), 'After'],
  )
})

test('a long user agent is cut', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn('alice', { 'user-agent': 'x'.repeat(5000) })
  assert.equal((await listOf(browser))[0].userAgent, 'x'.repeat(200))
})

test('a user ends one session, which is gone at once, and reported', async (t) => {
  const ended: unknown[] = []
  const { newBrowser, log } = await startInjectGateway(t, {
    extras: { hooks: { onLogout: (...args) => void ended.push(args) } },
  })
  const browsers = [newBrowser(), newBrowser(), newBrowser()] as const
  for (const browser of browsers) await browser.signIn('alice')
  const [own, lost, other] = browsers
  const { id } = (await listOf(lost)).find(({ current }: { current: boolean }) => current)

  const answer = await own.call(`/bff/sessions/${id}`, { method: 'DELETE' })
  assert.deepEqual([answer.statusCode, answer.body], [204, ''])

  assertError(await lost.call('/bff/user'), 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
  for (const browser of [own, other]) assert.equal((await listOf(browser)).length, 2)
  assertError(await own.call(`/bff/sessions/${id}`, { method: 'DELETE' }), 404, 'BFF_NOT_FOUND')
  assert.deepEqual(
    ended.map((args) => (args as [object, string])[1]),
    ['logout'],
  )
  const [line, ...more] = log()
    .split('\n')
    .flatMap((text) => (text.includes('"session.ended"') ? [JSON.parse(text)] : []))
  assert.deepEqual(more, [])
  assert.equal(line.reason, 'logout')
})

test('a user ends all other sessions, but not this one', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const [own, ...others] = [newBrowser(), newBrowser(), newBrowser()]
  const bob = newBrowser()
  await bob.signIn('bob')
  for (const browser of [own, ...others]) await browser?.signIn('alice')

  const answer = await (own ?? assert.fail()).call('/bff/sessions', { method: 'DELETE' })
  assert.deepEqual([answer.statusCode, answer.json()], [200, { ended: 2 }])
  for (const browser of others) assert.equal((await browser.call('/bff/user')).statusCode, 401)
  for (const browser of [own, bob]) assert.equal((await browser?.call('/bff/user'))?.statusCode, 200)
})

test('ending the own session logs out, and revokes its refresh token', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn('alice')
  const [{ id }] = await listOf(browser)
  assert.equal((await browser.call(`/bff/sessions/${id}`, { method: 'DELETE' })).statusCode, 204)
  assert.equal(issuer.events.revocations().length, 1)
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
})

test("another user's session, a made-up identifier and the key in the store are all the same 404", async (t) => {
  const { app, newBrowser } = await startInjectGateway(t)
  const [alice, bob] = [newBrowser(), newBrowser()]
  const created = t.mock.method(app.sessionStore, 'create')
  await alice.signIn('alice')
  await bob.signIn('bob')
  const [{ id }] = await listOf(bob)
  const [storeId] = created.mock.calls.map(({ arguments: [key] }) => key)

  const guesses = [id, `${id.slice(0, -1)}${id.endsWith('A') ? 'B' : 'A'}`, storeId, 'x', 'a'.repeat(54)]
  const answers = []
  for (const guess of guesses) answers.push(await alice.call(`/bff/sessions/${guess}`, { method: 'DELETE' }))
  for (const answer of answers) {
    const { requestId, ...body } = answer.json()
    assert.deepEqual(body, {
      statusCode: 404,
      code: 'BFF_NOT_FOUND',
      error: 'Not found',
      details: 'You have no session with this identifier',
    })
  }
  assert.equal((await bob.call('/bff/user')).statusCode, 200)
})

test('a user of the same name at another issuer is another user', async (t) => {
  const redis = await redisUrl()
  t.after(() => redis.close())
  const env = { REDIS_URL: redis.url, SESSION_KEYS: newKey() }
  const gateways = [await startInjectGateway(t, { env }), await startInjectGateway(t, { env })]
  const browsers = []
  for (const gateway of gateways) {
    const browser = gateway.newBrowser()
    await browser.signIn('alice')
    browsers.push(browser)
  }
  const [own, ...others] = browsers
  assert.ok(own)
  assert.equal((await listOf(own)).length, 1)
  for (const browser of others) {
    const [{ id }] = await listOf(browser)
    assertError(await own.call(`/bff/sessions/${id}`, { method: 'DELETE' }), 404, 'BFF_NOT_FOUND')
  }
  assert.deepEqual((await own.call('/bff/sessions', { method: 'DELETE' })).json(), { ended: 0 })
  for (const browser of browsers) assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('without a session, CSRF header or from another site nothing is listed and nothing ends', async (t) => {
  const { app, newBrowser } = await startInjectGateway(t)
  const [own, other] = [newBrowser(), newBrowser()]
  await own.signIn('alice')
  await other.signIn('alice')
  const { id } = (await listOf(other)).find(({ current }: { current: boolean }) => current)
  const requests = [
    ['GET', '/bff/sessions'],
    ['DELETE', '/bff/sessions'],
    ['DELETE', `/bff/sessions/${id}`],
  ] as const

  for (const [method, url] of requests) {
    assertError(await app.inject({ method, url, headers: { 'x-csrf': '1' } }), 401, 'BFF_SESSION_REQUIRED', {
      loginUrl: '/bff/login',
    })
    assertError(await own.call(url, { method, headers: { 'x-csrf': '0' } }), 403, 'BFF_CSRF_REJECTED')
    const crossSite = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
    assertError(await own.call(url, { method, headers: crossSite }), 403, 'BFF_CSRF_REJECTED')
  }
  assert.equal((await listOf(own)).length, 2)
})

test('a login that ends the oldest session says so in the list, with what it was', async (t) => {
  const clock = createFakeClock(Date.now())
  const { newBrowser } = await startInjectGateway(t, {
    env: { SESSION_MAX_PER_USER: '2' },
    extras: { clock },
  })
  const begunAt = new Date(clock.now()).toISOString()
  const agents = ['The oldest', 'The second', 'The newest']
  const browsers = []
  for (const agent of agents) {
    const browser = newBrowser()
    await browser.signIn('alice', { 'user-agent': agent })
    browsers.push(browser)
    await clock.advance(60_000)
  }
  const newest = browsers[2] ?? assert.fail()
  for (const _ of ['at once', 'and after its next use']) {
    const listed = await listOf(newest)
    assert.equal(listed.length, 2)
    const [own, other] = listed
    assert.deepEqual(own.endedByLimit, {
      endedAt: new Date(Date.parse(begunAt) + 120_000).toISOString(),
      createdAt: begunAt,
      lastUsedAt: begunAt,
      userAgent: 'The oldest',
      address: '127.0.0.1',
    })
    assert.equal('endedByLimit' in other, false)
    await clock.advance(60_000)
  }
})

test('lists survive a rotation of SESSION_KEYS, and identifiers of before it are still accepted', async (t) => {
  const redis = await redisUrl()
  t.after(() => redis.close())
  const [older, newer] = [newKey(), newKey()]
  const before = await startInjectGateway(t, { env: { REDIS_URL: redis.url, SESSION_KEYS: older } })
  const issuer = before.issuer
  const after = await startInjectGateway(t, {
    issuer,
    env: { REDIS_URL: redis.url, SESSION_KEYS: `${newer},${older}` },
  })
  const [phone, laptop] = [before.newBrowser(), after.newBrowser()]
  await phone.signIn('alice', { 'user-agent': 'A phone' })
  await laptop.signIn('alice')
  const [{ id }] = await listOf(phone).then((all) =>
    all.filter(({ current }: { current: boolean }) => current),
  )

  const listed = await listOf(laptop)
  assert.ok(listed.some(({ userAgent }: { userAgent: string }) => userAgent === 'A phone'))
  assert.equal((await laptop.call(`/bff/sessions/${id}`, { method: 'DELETE' })).statusCode, 204)
  assert.equal((await phone.call('/bff/user')).statusCode, 401)
})
