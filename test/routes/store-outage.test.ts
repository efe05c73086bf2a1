import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { LightMyRequestResponse } from 'fastify'
import { Redis } from 'ioredis'
import { startIssuer } from '../../demo/issuer.ts'
import { type SessionStore, StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { assertError } from '../support/assert-error.ts'
import { type InjectBrowser, setCookies } from '../support/inject-browser.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'

/** 503 with Retry-After, which ends no session and sets no cookie. */
function assertUnavailable(response: LightMyRequestResponse): void {
  assertError(response, 503, 'BFF_STORE_UNAVAILABLE')
  assert.match(String(response.headers['retry-after']), /^[1-9]\d*$/)
  assert.deepEqual(setCookies(response), [])
}

const asScript = { accept: '*/*' }

test('while Redis is down no session ends, and everything that needs it answers 503', async (t) => {
  const redis = await startRedis()
  t.after(() => redis.close())
  const { newBrowser, app } = await startInjectGateway(t, { env: { REDIS_URL: redis.url } })
  const browser = newBrowser()
  await browser.signIn()
  const callback = await browser.authorize(await browser.beginLogin())
  const cookies = browser.cookies.all()
  assert.equal((await app.inject('/readyz')).statusCode, 200)

  await redis.kill()

  assertUnavailable(await browser.call('/bff/user'))
  assertUnavailable(await browser.call('/bff/session'))
  assertUnavailable(await browser.open('/bff/logout', asScript))
  assertUnavailable(await browser.open(callback, asScript))
  const ready = await app.inject('/readyz')
  assert.equal(ready.statusCode, 503)
  assert.deepEqual(ready.json(), { status: 'not ready', missing: ['session store'] })
  assert.equal((await app.inject('/healthz')).statusCode, 200)
  assert.deepEqual(browser.cookies.all(), cookies)
  // Requests without a cookie need no store, and a login only at its callback.
  const anonymous = newBrowser()
  assert.equal((await anonymous.call('/bff/user')).statusCode, 401)
  assert.equal((await anonymous.call('/bff/session')).statusCode, 200)
  assert.equal((await anonymous.open('/bff/login')).statusCode, 302)
})

test('a login while the store is down gets an error page that can be reloaded', async (t) => {
  const { newBrowser, app } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())

  const addMarker = failing(t, app.sessionStore, 'addMarker')
  const response = await browser.open(callback)
  assert.equal(response.statusCode, 503)
  assert.equal(response.headers['content-type'], 'text/html; charset=utf-8')
  assert.ok(response.headers['retry-after'])
  assert.deepEqual(setCookies(response), [])

  addMarker.mock.restore()
  assert.equal((await browser.open(callback)).statusCode, 302)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('if storing the session fails no cookie is set', async (t) => {
  const { newBrowser, app } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  failing(t, app.sessionStore, 'create')

  assertUnavailable(await browser.open(callback, asScript))
})

test('if sliding or ending a session fails the session is unchanged', async (t) => {
  const { newBrowser, app } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const store = app.sessionStore
  // As if it were nearly expired.
  t.mock.method(store, 'read', keptFor(store.read, 1000))
  const touch = failing(t, store, 'touch')
  await assertStays(browser, '/bff/user')
  touch.mock.restore()
  failing(t, store, 'destroy')
  await assertStays(browser, '/bff/logout')
})

test('a cookie that is due to be sealed with a new key is not changed either', async (t) => {
  const [oldKey, freshKey] = [newKey(), newKey()]
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const before = await startInjectGateway(t, { issuer, env: { SESSION_KEYS: oldKey } })
  const after = await startInjectGateway(t, { issuer, env: { SESSION_KEYS: `${freshKey},${oldKey}` } })
  const browser = before.newBrowser()
  await browser.signIn()
  await browser.beginLogin()
  const callback = await browser.authorize(await browser.beginLogin())
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''
  const store = after.app.sessionStore
  const read = t.mock.method(store, 'read', before.app.sessionStore.read)
  const call = (path: string) => after.newBrowser().call(path, { headers: { cookie } })

  for (const method of ['destroy', 'addMarker', 'create'] as const) failing(t, store, method)
  assertUnavailable(await call('/bff/logout'))
  assertUnavailable(await call(callback))
  read.mock.restore()
  failing(t, store, 'read')
  assertUnavailable(await call('/bff/user'))
  assertUnavailable(await call('/bff/session'))
})

function failing(t: TestContext, store: SessionStore, method: keyof SessionStore) {
  return t.mock.method(store, method, async () => {
    throw new StoreUnavailableError(new Error('connect ECONNREFUSED 10.0.0.7:6379'))
  })
}

function keptFor(read: SessionStore['read'], ttlMs: number): SessionStore['read'] {
  return async (id) => {
    const stored = await read(id)
    return stored && { ...stored, ttlMs }
  }
}

async function assertStays(browser: InjectBrowser, path: string): Promise<void> {
  const response = await browser.call(path)
  assertUnavailable(response)
  assert.doesNotMatch(response.body, /10\.0\.0\.7|ECONNREFUSED/)
}

test('a Redis that accepts no writes makes the gateway unready, and /readyz says why', async (t) => {
  const redis = await startRedis()
  const { app, newBrowser } = await startInjectGateway(t, { env: { REDIS_URL: redis.url } })
  const client = new Redis(redis.url)
  t.after(async () => {
    await client.quit()
    await redis.close()
  })
  await newBrowser().signIn()
  assert.equal((await app.inject('/readyz')).statusCode, 200)

  await client.config('SET', 'min-replicas-to-write', '1')
  // Writing is tried once a second.
  const unready = await until(async () => {
    const answer = await app.inject('/readyz')
    return answer.json().warnings !== undefined && answer
  })

  assert.equal(unready.statusCode, 503)
  assert.deepEqual(unready.json(), {
    status: 'not ready',
    missing: ['session store'],
    warnings: ['the session store answers NOREPLICAS'],
  })
  await client.config('SET', 'min-replicas-to-write', '0')
  const ready = await app.inject('/readyz')
  assert.deepEqual(ready.json(), { status: 'ready' })
})
