import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { Page } from 'playwright-core'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { startUpstream } from '../proxy/support.ts'
import { until } from '../support/until.ts'
import { useChromium } from './chromium.ts'
import { startGateway } from './gateway.ts'

/** The user that the page got from the gateway, and the user whose token the API got. */
const script = `
const call = (path) => fetch(path, { headers: { 'x-csrf': '1' } }).then((answer) => answer.text())
addEventListener('pageshow', async () => {
  document.title = 'asking'
  window.seen = [await call('/bff/user'), await call('/api/mine')]
  document.title = 'done'
})`

const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-one-profile-'))
let issuer: DemoIssuer
before(async () => {
  writeFileSync(join(folder, 'index.html'), '<!doctype html><script src="/app.js"></script><p>The app</p>')
  writeFileSync(join(folder, 'app.js'), script)
  issuer = await startIssuer()
})
after(async () => {
  rmSync(folder, { recursive: true })
  await issuer.close()
})
const openPage = useChromium()

async function start(t: TestContext) {
  const api = await startUpstream(t, ({ response, headers }) => {
    response.setHeader('cache-control', 'private, max-age=600')
    response.end(headers.authorization)
  })
  const gateway = await startGateway(issuer, { STATIC_DIR: folder, API_URL: api.url })
  t.after(() => gateway.close())
  const { page } = await openPage(t)
  const cookie = async () => {
    const all = await page.context().cookies(gateway.url)
    return all.find(({ name }) => name === 'bff')?.value ?? assert.fail('no session cookie')
  }
  const isAlive = async (value: string) => {
    const headers = { host: new URL(gateway.url).host, 'x-csrf': '1', cookie: `bff=${value}` }
    return (await gateway.app.inject({ url: '/bff/user', headers })).statusCode === 200
  }
  return { page, gateway, cookie, isAlive }
}

/** Signs in by the form, whether or not another user is signed in at the issuer. */
async function signIn(page: Page, url: string, user: string): Promise<void> {
  await page.goto(`${url}/bff/login?prompt=login`)
  await page.getByLabel('Name').fill(user)
  await page.getByLabel('Password').fill(user)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${url}/`)
}

async function userSeenBy(page: Page): Promise<[user: string, token: string]> {
  // Not page.waitForFunction: it evaluates text in the page, which the page's policy forbids.
  await until(async () => (await page.title()) === 'done')
  return page.evaluate('window.seen')
}

test('two users of one browser profile: the second login ends the first session and shows nothing of it', async (t) => {
  const { page, gateway, cookie, isAlive } = await start(t)
  await signIn(page, gateway.url, 'alice')
  const [alice, aliceToken] = await userSeenBy(page)
  const aliceCookie = await cookie()
  assert.ok(await isAlive(aliceCookie))

  await signIn(page, gateway.url, 'bob')

  const [bob, bobToken] = await userSeenBy(page)
  assert.match(alice, /Alice Example/)
  assert.match(bob, /Bob Example/)
  assert.notEqual(bobToken, aliceToken)
  // The callback, which came from the issuer's site, had no Strict cookie: the login had remembered it.
  assert.equal(await isAlive(aliceCookie), false)
  assert.ok(await isAlive(await cookie()))
})

test('after a logout the back button shows nothing of the user', async (t) => {
  const { page, gateway } = await start(t)
  await signIn(page, gateway.url, 'alice')
  const [user, token] = await userSeenBy(page)
  const claims: { type: string; value: string }[] = JSON.parse(user)
  const logout = claims.find(({ type }) => type === 'bff:logout_url')?.value ?? ''

  await page.goto(gateway.url + logout)
  await page.goto(`${gateway.url}/`)
  const [afterwards, apiAfterwards] = await userSeenBy(page)
  await page.goBack()
  await page.goBack().catch(() => {})
  await page.goto(`${gateway.url}/`)

  for (const answer of [afterwards, apiAfterwards, ...(await userSeenBy(page))]) {
    assert.match(answer, /BFF_SESSION_REQUIRED/)
    assert.ok(!answer.includes(token))
  }
})

test('a page that prefetches or frames the logout signs no one out', async (t) => {
  const { page, gateway, cookie, isAlive } = await start(t)
  await signIn(page, gateway.url, 'alice')
  const [user] = await userSeenBy(page)
  const claims: { type: string; value: string }[] = JSON.parse(user)
  const logout = claims.find(({ type }) => type === 'bff:logout_url')?.value ?? ''
  const session = await cookie()

  for (const element of [
    `Object.assign(document.createElement('link'), { rel: 'prefetch', href: '${logout}' })`,
    `Object.assign(document.createElement('img'), { src: '${logout}' })`,
    `Object.assign(document.createElement('iframe'), { src: '${logout}' })`,
  ]) {
    const answered = page.waitForResponse((response) => response.url().includes('/bff/logout'))
    await page.evaluate(`document.body.append(${element})`)
    assert.equal((await answered).status(), 400, element)
  }

  assert.ok(await isAlive(session))
})
