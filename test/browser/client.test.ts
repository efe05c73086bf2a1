import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Page } from 'playwright-core'
import type { BffUserSession } from '../../client/types.ts'
import { type Answer, startUpstream } from '../proxy/support.ts'
import { redisUrl } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { useChromium } from './chromium.ts'
import { bundle, root, strictApi, useClientPages } from './client-pages.ts'
import { startGateway } from './gateway.ts'

const { folder, issuer } = useClientPages()
const openPage = useChromium()

async function start(t: TestContext, answer: Answer = strictApi(), host?: string) {
  const api = await startUpstream(t, answer)
  const gateway = await startGateway(issuer(), { STATIC_DIR: folder, API_URL: api.url }, '', host)
  t.after(() => gateway.close())
  let streams = 0
  gateway.app.server.on('request', ({ url }, response) => {
    if (url !== '/bff/events') return
    streams++
    response.once('close', () => streams--)
  })
  const { page, faults } = await openPage(t)
  return { page, faults, gateway, api, streams: () => streams }
}

async function signIn(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/bff/login?prompt=login&returnUrl=/app.html`)
  await fillIn(page)
  await page.waitForURL(`${url}/app.html`)
}

async function fillIn(page: Page): Promise<void> {
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
}

interface Seen {
  event: string
  isAuthenticated: boolean
  renewals?: number
  reason?: string
}

// As JSON, which leaves undefined members out.
const seenBy = async (page: Page): Promise<Seen[]> => JSON.parse(await page.evaluate('JSON.stringify(seen)'))
const lastSeen = async (page: Page) => (await seenBy(page)).at(-1)

test('without a session the client says so, and where to log in', async (t) => {
  const { page, gateway } = await start(t)
  await page.goto(`${gateway.url}/app.html`)

  assert.equal(await page.evaluate('client.user()'), null)
  assert.equal(await page.evaluate('client.session().then((session) => session.isAuthenticated)'), false)
  assert.equal(await page.evaluate(`client.fetch('/api/x').then(({ status }) => status)`), 401)
  assert.deepEqual(await page.evaluate('required'), [`${gateway.url}/bff/login`])
  await until(async () => (await seenBy(page)).length > 0)
  assert.deepEqual(await seenBy(page), [{ event: 'session', isAuthenticated: false }])
})

test('login leads back to the very page, and then user, session and APIs are there', async (t) => {
  const { page, gateway, api, faults } = await start(t)
  await page.goto(`${gateway.url}/app.html?tab=2#top`)
  await page.evaluate('client.login()')
  await fillIn(page)
  await page.waitForURL(`${gateway.url}/app.html?tab=2#top`)

  const user = await page.evaluate<Record<string, unknown>>('client.user()')
  assert.deepEqual([user['subject'], user['name']], ['alice', 'Alice Example'])
  assert.match(String(user['logoutUrl']), /^\/bff\/logout\?sid=/)
  assert.ok(Number(user['expiresIn']) > 0)
  assert.equal(
    await page.evaluate(`client.fetch('/api/x', { method: 'POST', body: '1' }).then((r) => r.text())`),
    'fine',
  )
  assert.equal(api.arrivals.at(-1)?.headers['x-csrf'], undefined)
  await until(async () => (await lastSeen(page))?.renewals === 1)
  // Before the login.
  assert.deepEqual(
    faults.filter((fault) => !fault.includes('401')),
    [],
  )
})

test('a GET that is answered 503 with Retry-After is repeated once, a POST is not', async (t) => {
  const { page, gateway, api } = await start(t, ({ request, response }) => {
    request.resume()
    response.writeHead(503, { 'retry-after': '0' }).end()
  })
  await signIn(page, gateway.url)
  for (const [method, calls] of [
    ['GET', 2],
    ['POST', 1],
  ] as const) {
    const before = api.arrivals.length
    const status = await page.evaluate(
      `client.fetch('/api/x', { method: '${method}' }).then(({ status }) => status)`,
    )
    assert.deepEqual([status, api.arrivals.length - before], [503, calls], method)
  }
})

test('all tabs learn of a renewal and of a logout in another tab, over one connection', async (t) => {
  const { page, gateway, streams } = await start(t)
  await signIn(page, gateway.url)
  const second = await page.context().newPage()
  await second.goto(`${gateway.url}/app.html`)
  for (const tab of [page, second]) await until(async () => (await lastSeen(tab))?.isAuthenticated === true)
  assert.equal(streams(), 1)

  await second.evaluate(`client.fetch('/api/x').then(({ status }) => status)`)
  for (const tab of [page, second]) await until(async () => (await lastSeen(tab))?.renewals === 1)

  await page.evaluate('client.logout()')
  await until(async () => (await lastSeen(second))?.isAuthenticated === false)
  assert.deepEqual(await lastSeen(second), { event: 'ended', isAuthenticated: false, reason: 'logout' })
})

test('a login in one tab is seen in a tab that was open and signed out, and in its own', async (t) => {
  const { page, gateway, faults } = await start(t)
  const second = await page.context().newPage()
  for (const tab of [second, page]) {
    await tab.goto(`${gateway.url}/app.html`)
    await until(async () => (await lastSeen(tab))?.isAuthenticated === false)
  }

  await signIn(page, gateway.url)
  for (const tab of [page, second]) await until(async () => (await lastSeen(tab))?.isAuthenticated === true)
  assert.deepEqual(faults, [])
})

test('when the tab with the connection closes, another one takes over', async (t) => {
  const { page, gateway, streams } = await start(t)
  await signIn(page, gateway.url)
  const second = await page.context().newPage()
  await second.goto(`${gateway.url}/app.html`)
  await until(async () => (await lastSeen(second))?.isAuthenticated === true)

  await page.close()
  await second.evaluate(`client.fetch('/api/x').then(({ status }) => status)`)
  await until(async () => (await lastSeen(second))?.renewals === 1)
  assert.equal(streams(), 1)

  await second.evaluate('remove()')
  await until(async () => streams() === 0)
})

test('a page that the browser has kept shows nothing of a user who has logged out since', async (t) => {
  const { page, gateway, streams } = await start(t)
  await signIn(page, gateway.url)
  await until(async () => (await lastSeen(page))?.isAuthenticated === true)
  await page.evaluate(`dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))`)
  await until(async () => streams() === 0)
  await page.evaluate('window.isKept = true')
  const restore = `dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))`

  // The same user: the page goes on.
  assert.equal(await page.evaluate(`${restore}, document.documentElement.style.visibility`), 'hidden')
  await until(async () => (await page.evaluate('document.documentElement.style.visibility')) === '')
  assert.equal(await page.evaluate('window.isKept'), true)

  await page.evaluate(`dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))`)
  const other = await page.context().newPage()
  await other.goto(`${gateway.url}/bff/logout`)
  const reloaded = page.waitForEvent('load')
  await page.evaluate(restore)
  await reloaded
  await until(async () => (await lastSeen(page))?.isAuthenticated === false)
  assert.equal(await page.evaluate('window.isKept'), undefined)
})

test('a silent login needs a user who is signed in at the issuer, and never hangs', async (t) => {
  // Browsers keep the issuer's cookies from frames of other sites.
  const { page, gateway } = await start(t, strictApi(), 'localhost')
  await page.goto(`${gateway.url}/app.html`)
  assert.equal(await page.evaluate('client.silentLogin()'), false)

  await signIn(page, gateway.url)
  await page.context().clearCookies({ name: 'bff' })
  assert.equal(await page.evaluate('client.user()'), null)
  assert.equal(await page.evaluate('client.silentLogin()'), true)
  assert.equal(await page.evaluate('client.user().then(({ subject }) => subject)'), 'alice')

  await page.route('**/bff/silent-login', () => {})
  assert.equal(await page.evaluate('client.silentLogin({ timeoutMs: 100 })'), false)
  assert.equal(await page.locator('iframe').count(), 0)
})

test('a user ends the session of another browser, which is at another gateway', async (t) => {
  const redis = await redisUrl()
  t.after(() => redis.close())
  const env = { STATIC_DIR: folder, REDIS_URL: redis.url, SESSION_KEYS: randomBytes(32).toString('base64') }
  const gateways = [await startGateway(issuer(), env), await startGateway(issuer(), env)] as const
  for (const gateway of gateways) t.after(() => gateway.close())
  const [{ page: own }, { page: other }] = [await openPage(t), await openPage(t)]
  await signIn(own, gateways[0].url)
  await signIn(other, gateways[1].url)
  for (const page of [own, other]) await until(async () => (await lastSeen(page))?.isAuthenticated === true)

  const sessions = await own.evaluate<BffUserSession[]>('client.sessions()')
  assert.deepEqual(sessions.map(({ current }) => current).sort(), [false, true])
  for (const { userAgent } of sessions) assert.match(userAgent ?? '', /Chrome\/\d/)
  const startedAt = performance.now()
  assert.equal(await own.evaluate('client.endOtherSessions()'), 1)
  await until(async () => (await lastSeen(other))?.event === 'ended')
  t.diagnostic(`${Math.round(performance.now() - startedAt)} ms until the other browser knew`)
  assert.deepEqual(await lastSeen(other), { event: 'ended', isAuthenticated: false, reason: 'logout' })
  assert.equal((await lastSeen(own))?.isAuthenticated, true)

  const [{ id } = assert.fail()] = await own.evaluate<BffUserSession[]>('client.sessions()')
  await own.evaluate(`client.endSession('${id}')`)
  await until(async () => (await lastSeen(own))?.event === 'ended')
  assert.equal(await own.evaluate(`client.endSession('${id}').catch(({ status }) => status)`), 401)
})

test('the example of the README shows who is signed in, and leads to the login', async (t) => {
  const { page, gateway } = await start(t, ({ request, response }) => {
    request.resume()
    response.setHeader('content-type', 'application/json').end('["an order"]')
  })
  await page.goto(`${gateway.url}/readme.html`)
  await until(async () => (await page.title()) === 'Signed out')
  await page.evaluate('void loadOrders()')
  await fillIn(page)
  await page.waitForURL(`${gateway.url}/readme.html`)
  await until(async () => (await page.title()) === 'Alice Example')
  assert.deepEqual(await page.evaluate('loadOrders()'), ['an order'])

  await page.evaluate('logOut()')
  await page.waitForURL(`${gateway.url}/`)
})

test('the React example renders again when its session begins, is used and ends in another tab', async (t) => {
  const { page, gateway } = await start(t, ({ request, response }) => {
    request.resume()
    response.end('noon')
  })
  await page.goto(`${gateway.url}/react.html`)
  await page.getByText('Signed out').waitFor()
  await page.getByRole('button', { name: 'Log in' }).click()
  await fillIn(page)
  await page.getByText('Hello Alice Example').waitFor()
  await page.getByRole('button', { name: 'What time is it?' }).click()
  await page.getByText('noon').waitFor()

  const other = await page.context().newPage()
  await other.goto(`${gateway.url}/bff/logout`)
  await page.getByText('Signed out: logout').waitFor()
})

test('the client has less than 3 KB, compressed, and a part of it less', async (t) => {
  const part = join(folder, 'part.js')
  writeFileSync(part, `export { BffError } from 'fastify-bff/client'`)
  for (const [entry, limit] of [
    [join(root, 'client/index.ts'), 3000],
    [part, 300],
  ] as const) {
    const size = gzipSync(await bundle(entry), { level: 9 }).length
    t.diagnostic(`${size} bytes`)
    assert.ok(size < limit, `${size} bytes`)
  }
})
