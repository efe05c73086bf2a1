import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { LightMyRequestResponse } from 'fastify'
import { startIssuer } from '../../demo/issuer.ts'
import { type InjectBrowser, locationOf, setCookies } from '../support/inject-browser.ts'
import { type InjectGateway, newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { startRedis } from '../support/redis.ts'

const home = new URL('http://localhost:3000/')

/** Two gateways with the same Redis, and a browser that both know. */
async function start(t: TestContext) {
  const redis = await startRedis()
  t.after(() => redis.close())
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const env = { REDIS_URL: redis.url, SESSION_KEYS: newKey() }
  const gateways = [
    await startInjectGateway(t, { env, issuer }),
    await startInjectGateway(t, { env, issuer }),
  ] as const
  return { issuer, gateways, browser: gateways[0].newBrowser(), sessions: () => liveSessions(gateways[0]) }
}

async function liveSessions({ app }: InjectGateway): Promise<number> {
  const redis = app.sharedRedis ?? assert.fail('no Redis')
  const keys = (await redis.call('KEYS', 'bff:{*}:record')) as string[]
  const created = await Promise.all(keys.map((key) => redis.hexists(key, 'created')))
  return created.filter((isSession) => isSession === 1).length
}

/** As when the issuer leads all tabs back before the browser has any of the answers. */
function openAtOnce(
  gateways: readonly InjectGateway[],
  browser: InjectBrowser,
  callbacks: string[],
): Promise<LightMyRequestResponse[]> {
  const cookie = browser.cookies.headerFor(home) ?? ''
  const headers = { host: home.host, accept: 'text/html', 'sec-fetch-site': 'cross-site', cookie }
  return Promise.all(
    callbacks.map(
      async (url, i) => (await gateways[i % gateways.length]?.app.inject({ url, headers })) ?? assert.fail(),
    ),
  )
}

function sessionCookieOf(answer: LightMyRequestResponse): string {
  const [cookie = assert.fail('no session')] = setCookies(answer).filter((each) => each.startsWith('bff='))
  return cookie.split(';', 1)[0] ?? ''
}

/** Whose session it is, and which. */
async function sessionOf({ app }: InjectGateway, cookie: string) {
  const headers = { host: home.host, 'x-csrf': '1', cookie }
  const { identity } = (await app.inject({ url: '/bff/session', headers })).json()
  const value = decodeURIComponent(cookie.split('=')[1] ?? '')
  return { name: identity?.name, id: app.decodeSecureSession(value, app.log, 'sealedSession')?.get('id') }
}

test('tabs that finish their logins at the same moment get one session, whichever answer comes last, and the other tokens are revoked', async (t) => {
  const { issuer, gateways, browser, sessions } = await start(t)
  for (let round = 1; round <= 5; round++) {
    const callbacks: string[] = []
    const tabs = 2 + (round % 3)
    for (let tab = 0; tab < tabs; tab++) callbacks.push(await browser.authorize(await browser.beginLogin()))
    const revokedBefore = issuer.events.revocations().length

    const answers = await openAtOnce(gateways, browser, callbacks)

    assert.deepEqual(
      answers.map(({ statusCode, headers }) => [statusCode, headers.location]),
      answers.map(() => [302, '/']),
    )
    const found = await Promise.all(answers.map((answer) => sessionOf(gateways[1], sessionCookieOf(answer))))
    assert.equal(found[0]?.name, 'Alice Example')
    assert.equal(new Set(found.map(({ id }) => id)).size, 1)
    assert.equal(await sessions(), 1)
    // Those of the other tabs, and from the second round on that of the session before.
    const revoked = issuer.events.revocations().slice(revokedBefore)
    assert.ok(revoked.every(({ outcome }) => outcome === 'success'))
    assert.equal(new Set(revoked.map(({ tokenHash }) => tokenHash)).size, round === 1 ? tabs - 1 : tabs)
    for (const answer of answers.toReversed()) browser.cookies.store(home, setCookies(answer))
  }
})

test('users who sign in at the same moment in one browser never get the session of another, and only one session is left', async (t) => {
  const { gateways, browser, sessions } = await start(t)
  const other = gateways[0].newBrowser()
  const names = ['Alice Example', 'Bob Example']
  const callbacks = [
    await browser.authorize(await browser.beginLogin(), { username: 'alice', password: 'alice' }),
    // Another tab, where another user signs in at the issuer.
    await other.authorize(await browser.beginLogin(), { username: 'bob', password: 'bob' }),
  ]

  const answers = await openAtOnce(gateways, browser, callbacks)

  for (const [i, answer] of answers.entries()) {
    const { name } = await sessionOf(gateways[0], sessionCookieOf(answer))
    assert.ok(name === undefined || name === names[i], name)
  }
  assert.equal(await sessions(), 1)
})

test('a login that finishes after another one of the same browser has a session of its own', async (t) => {
  const { gateways, browser, sessions } = await start(t)
  const callbacks: string[] = []
  for (let tab = 0; tab < 3; tab++) callbacks.push(await browser.authorize(await browser.beginLogin()))
  const ids = new Set()
  for (const callback of callbacks) {
    const [answer = assert.fail()] = await openAtOnce(gateways, browser, [callback])
    assert.equal(locationOf(answer), '/')
    browser.cookies.store(home, setCookies(answer))
    ids.add((await sessionOf(gateways[1], sessionCookieOf(answer))).id)
    assert.equal(await sessions(), 1)
  }
  assert.equal(ids.size, 3)
})
