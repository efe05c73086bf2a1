import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sessionKey, startGateway } from '../support/gateway.ts'
import { redisUrl } from '../support/redis.ts'
import { call, codeOf, sessionOf, startWorld } from './world.ts'

test('sessions survive a restart, with Redis and the same keys', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const redis = await redisUrl()
  t.after(redis.close)
  const before = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url })
  await browser.signIn(before.url, 'alice')
  const { sid } = await sessionOf(browser, before)

  assert.deepEqual(await before.stop(), { code: 0, signal: null })
  const env = { PORT: new URL(before.url).port }
  const after = await startGateway(t, { issuer, apiUrl, redisUrl: redis.url, env })

  assert.equal((await call(browser, after)).status, 200)
  assert.equal((await sessionOf(browser, after)).sid, sid)
})

test('with sessions in memory a restart ends all sessions, and clears the cookie', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const before = await startGateway(t, { issuer, apiUrl })
  await browser.signIn(before.url, 'alice')

  await before.stop()
  const after = await startGateway(t, { issuer, apiUrl, env: { PORT: new URL(before.url).port } })

  assert.equal(codeOf(await call(browser, after)), 'BFF_SESSION_REQUIRED')
  assert.equal(codeOf(await call(browser, after, '/bff/user')), 'BFF_SESSION_REQUIRED')
  assert.equal(browser.cookies.get('bff'), undefined)
})

test('rotating keys process by process does not affect users', async (t) => {
  const { issuer, apiUrl, browser } = await startWorld(t)
  const redis = await redisUrl()
  t.after(redis.close)
  const newKey = Buffer.alloc(32, 'the next key').toString('base64')
  const withKeys = (SESSION_KEYS: string, PUBLIC_URL?: string) =>
    startGateway(t, {
      issuer,
      apiUrl,
      redisUrl: redis.url,
      env: { SESSION_KEYS, ...(PUBLIC_URL !== undefined && { PUBLIC_URL }) },
    })
  const old = await withKeys(sessionKey)
  await browser.signIn(old.url, 'alice')
  const oldCookie = browser.cookies.headerFor(new URL(old.url)) ?? ''

  const added = await withKeys(`${sessionKey},${newKey}`, old.url)
  assert.equal((await call(browser, added)).status, 200)

  const moved = await withKeys(`${newKey},${sessionKey}`, old.url)
  assert.equal((await call(browser, moved)).status, 200)
  await sessionOf(browser, moved)
  assert.equal((await call(browser, added)).status, 200, 'Sealed with the new key, which this one knows')

  assert.equal((await call(browser, moved)).status, 200)
  const dropped = await withKeys(newKey, old.url)
  assert.equal((await call(browser, dropped)).status, 200)

  const outdated = await fetch(`${dropped.url}/api/gettime`, {
    headers: { 'x-csrf': '1', cookie: oldCookie },
  })
  assert.equal(outdated.status, 401)
  assert.deepEqual(outdated.headers.getSetCookie(), [], 'What cannot be opened may be another gateway’s')
})
