import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { type InjectBrowser, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const minute = 60_000

async function start(t: TestContext, env: Record<string, string>) {
  const clock = createFakeClock(Date.now())
  const gateway = await startInjectGateway(t, { env, extras: { clock } })
  const browser = gateway.newBrowser()
  await browser.signIn()
  return { ...gateway, clock, browser }
}

async function secondsLeft(browser: InjectBrowser, path = '/bff/user'): Promise<number> {
  const claims = (await browser.call(path)).json()
  return claims.find(({ type }: { type: string }) => type === 'bff:session_expires_in').value
}

async function assertEnded(browser: InjectBrowser): Promise<void> {
  const response = await browser.call('/bff/user')
  assertError(response, 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
  assert.match(setCookies(response).join(), /^bff=;/)
  assert.equal(browser.cookies.get('bff'), undefined)
}

test('an unused session ends after its idle timeout, and its cookie is cleared', async (t) => {
  const { clock, browser } = await start(t, { SESSION_IDLE_TIMEOUT: '30m' })
  await clock.advance(30 * minute)
  await assertEnded(browser)
})

test('each use restarts the idle timeout', async (t) => {
  const { clock, browser } = await start(t, { SESSION_IDLE_TIMEOUT: '30m' })
  for (let i = 0; i < 5; i++) {
    await clock.advance(29 * minute)
    assert.equal(await secondsLeft(browser), 1800)
  }
  await clock.advance(30 * minute)
  await assertEnded(browser)
})

test('requests with slide=false do not keep the session alive', async (t) => {
  const { clock, browser } = await start(t, { SESSION_IDLE_TIMEOUT: '30m' })
  await clock.advance(20 * minute)
  assert.equal(await secondsLeft(browser, '/bff/user?slide=false'), 600)
  const { cookieLifetime } = (await browser.call('/bff/session?slide=false')).json()
  assert.equal(cookieLifetime.remainingTime, 600)
  await clock.advance(10 * minute)
  await assertEnded(browser)
})

test('a session ends at its absolute lifetime, however much it is used', async (t) => {
  const { clock, browser } = await start(t, { SESSION_IDLE_TIMEOUT: '30m', SESSION_LIFETIME: '1h' })
  await clock.advance(25 * minute)
  assert.equal(await secondsLeft(browser), 1800)
  await clock.advance(25 * minute)
  assert.equal(await secondsLeft(browser), 600)
  await clock.advance(9 * minute)
  assert.equal(await secondsLeft(browser), 60)
  await clock.advance(minute)
  await assertEnded(browser)
})

test('using a session sets no cookie', async (t) => {
  const { clock, browser } = await start(t, { SESSION_IDLE_TIMEOUT: '30m' })
  for (const path of ['/bff/user', '/bff/session', '/bff/user?slide=false']) {
    await clock.advance(5 * minute)
    assert.deepEqual(setCookies(await browser.call(path)), [])
  }
})

test('sliding writes at most once a minute', async (t) => {
  const { clock, browser, app } = await start(t, { SESSION_IDLE_TIMEOUT: '30m' })
  const touch = t.mock.method(app.sessionStore, 'touch')
  for (let i = 0; i < 60; i++) {
    await clock.advance(2000)
    await browser.call('/bff/user')
  }
  assert.equal(touch.mock.callCount(), 2)
})

test('a cookie lasts as long as its session can', async (t) => {
  const { newBrowser } = await start(t, { SESSION_LIFETIME: '1h', SESSION_IDLE_TIMEOUT: '30m' })
  const cookie = setCookies(await newBrowser().signIn()).find((value) => value.startsWith('bff='))
  assert.match(cookie ?? '', /; Max-Age=3600;/)
})
