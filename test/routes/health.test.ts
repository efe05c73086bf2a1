import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type SessionStore, StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

test('/healthz touches neither store nor cookie, and is not cached', async (t) => {
  const { app } = await startInjectGateway(t)
  const methods = Object.keys(app.sessionStore) as (keyof SessionStore)[]
  const calls = methods.map((method) => t.mock.method(app.sessionStore, method))

  const response = await app.inject({ url: '/healthz', headers: { cookie: 'bff=x; bff-tx-x=y' } })

  assert.equal(response.statusCode, 200)
  assert.deepEqual(response.json(), { status: 'ok' })
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['set-cookie'], undefined)
  assert.ok(calls.length > 5 && calls.every(({ mock }) => mock.callCount() === 0))
})

test('/readyz names everything that is missing', async (t) => {
  const { app, newBrowser } = await startInjectGateway(t)
  const ping = t.mock.method(app.sessionStore, 'ping', async () => {
    throw new StoreUnavailableError(new Error('redis://user:password@10.0.0.7'))
  })
  const notReady = async () => {
    const response = await app.inject('/readyz')
    assert.equal(response.statusCode, 503)
    assert.equal(response.headers['cache-control'], 'no-store')
    assert.doesNotMatch(response.body, /10\.0\.0\.7/)
    return response.json()
  }
  assert.deepEqual(await notReady(), { status: 'not ready', missing: ['session store', 'issuer metadata'] })

  await newBrowser().beginLogin()
  assert.deepEqual(await notReady(), { status: 'not ready', missing: ['session store'] })

  ping.mock.restore()
  const response = await app.inject('/readyz')
  assert.equal(response.statusCode, 200)
  assert.deepEqual(response.json(), { status: 'ready' })
  assert.equal(response.headers['cache-control'], 'no-store')
})

test('while draining /readyz is 503, everything else is served, with Connection: close', async (t) => {
  const { app, newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  assert.equal((await browser.call('/bff/user')).headers['connection'], 'keep-alive')

  app.draining.begin()

  const ready = await app.inject('/readyz')
  assert.equal(ready.statusCode, 503)
  assert.deepEqual(ready.json(), { status: 'not ready', missing: ['shutting down'] })
  for (const response of [
    ready,
    await app.inject('/healthz'),
    await browser.call('/bff/user'),
    await browser.open('/bff/login'),
    await app.inject('/bff/unknown'),
  ]) {
    assert.equal(response.headers['connection'], 'close')
  }
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('with a base path probes are answered with and without it', async (t) => {
  const { app } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com/shop' } })
  for (const url of ['/healthz', '/shop/healthz']) assert.equal((await app.inject(url)).statusCode, 200)
  for (const url of ['/shopping/healthz', '/shophealthz'])
    assert.equal((await app.inject(url)).statusCode, 404)
})
