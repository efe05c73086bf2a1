import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { Page } from 'playwright-core'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { useChromium } from './chromium.ts'
import { type BrowserGateway, startGateway } from './gateway.ts'

const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-require-login-'))
let issuer: DemoIssuer
let elsewhere: string
const foreign = createServer(({ url = '/' }, response) => {
  const target = decodeURIComponent(url.slice(1))
  response.setHeader('content-type', 'text/html').end(`<!doctype html><a href="${target}">To the app</a>`)
})
before(async () => {
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><title>The app</title><h1>The app</h1><script src="/app.js"></script>',
  )
  writeFileSync(join(folder, 'app.js'), 'document.body.dataset.ran = "yes"')
  issuer = await startIssuer()
  elsewhere = `http://localhost:${await listen(foreign, 0)}`
})
after(async () => {
  rmSync(folder, { recursive: true })
  await stop(foreign)
  await issuer.close()
})
const openPage = useChromium()

interface Visitor {
  page: Page
  gateway: BrowserGateway
  /** Paths of the documents that the browser requested from the gateway, and its logins at the issuer, since the last call. */
  seen(): { documents: string[]; logins: number }
}

async function visitor(t: TestContext, env: Record<string, string> = {}): Promise<Visitor> {
  const gateway = await startGateway(issuer, { STATIC_DIR: folder, REQUIRE_LOGIN: 'true', ...env })
  t.after(() => gateway.close())
  const { page } = await openPage(t)
  let documents: string[] = []
  let logins = 0
  page.context().on('request', (request) => {
    const { origin, pathname, search } = new URL(request.url())
    if (origin === issuer.issuer && pathname === '/auth') logins++
    const isPage = request.resourceType() === 'document' && origin === gateway.url
    if (isPage && !pathname.startsWith('/bff/')) documents.push(pathname + search)
  })
  return {
    page,
    gateway,
    seen() {
      const seen = { documents, logins }
      ;[documents, logins] = [[], 0]
      return seen
    },
  }
}

/** Signs in by the issuer's form. */
async function fillIn(page: Page, user = 'alice'): Promise<void> {
  await page.getByLabel('Name').fill(user)
  await page.getByLabel('Password').fill(user)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** Waits until the app is shown, and its script loaded. */
async function appShown(page: Page): Promise<void> {
  await page.locator('body[data-ran="yes"]').waitFor()
}

for (const sameSite of ['strict', 'lax']) {
  const env = { COOKIE_SAMESITE: sameSite }
  /** With Strict the page is loaded twice, the second time from a page of ours. */
  const once = (path: string) => (sameSite === 'strict' ? [path, path] : [path])

  test(`a first visit to a page deep in the app needs one login (${sameSite})`, async (t) => {
    const { page, gateway, seen } = await visitor(t, env)
    const deep = '/orders/7?tab=items&q=%22%3E%3Cscript%3E'
    await page.goto(gateway.url + deep)
    await fillIn(page)
    await appShown(page)

    assert.equal(page.url(), gateway.url + deep)
    assert.deepEqual(seen(), { documents: [deep, ...once(deep)], logins: 1 })
  })

  test(`a signed-in user needs no login from a foreign page, a bookmark or a reload (${sameSite})`, async (t) => {
    const { page, gateway, seen } = await visitor(t, env)
    await page.goto(gateway.url)
    await fillIn(page)
    await appShown(page)
    seen()

    await page.goto(`${elsewhere}/${encodeURIComponent(`${gateway.url}/orders?from=mail#items`)}`)
    await page.getByRole('link').click()
    await appShown(page)
    assert.equal(page.url(), `${gateway.url}/orders?from=mail#items`)
    assert.deepEqual(seen(), { documents: once('/orders?from=mail'), logins: 0 })

    await page.reload()
    await appShown(page)
    assert.deepEqual(seen(), { documents: ['/orders?from=mail'], logins: 0 })

    const bookmark = await page.context().newPage()
    await bookmark.goto(`${gateway.url}/orders`)
    await appShown(bookmark)
    assert.deepEqual(seen(), { documents: ['/orders'], logins: 0 })

    await page.goBack()
    assert.equal(new URL(page.url()).origin, elsewhere)
  })

  test(`after a logout the app needs a login again (${sameSite})`, async (t) => {
    const { page, gateway, seen } = await visitor(t, env)
    await page.goto(gateway.url)
    await fillIn(page)
    await appShown(page)
    const { sid } = (await page.evaluate(
      `fetch('/bff/session', { headers: { 'X-CSRF': '1' } }).then((answer) => answer.json())`,
    )) as { sid: string }
    seen()

    await page.evaluate(`location.assign('/bff/logout?sid=${sid}')`)
    await page.getByLabel('Name').waitFor()
    const closed = seen()
    assert.deepEqual(closed, { documents: once('/'), logins: 1 })
    await fillIn(page, 'bob')
    await appShown(page)
    assert.deepEqual(seen(), { documents: once('/'), logins: 0 })
  })
}

test('files and requests of scripts are refused without a session, not redirected to the login', async (t) => {
  const { page, gateway, seen } = await visitor(t)
  await page.goto(`${gateway.url}/healthz`)
  const answers = await page.evaluate(`Promise.all(
    [['/app.js', '*/*'], ['/orders', 'text/html'], ['/', '*/*']].map(async ([path, accept]) => {
      const answer = await fetch(path, { headers: { accept } })
      return [answer.status, (await answer.json()).code]
    }),
  )`)
  assert.deepEqual(answers, Array(3).fill([401, 'BFF_SESSION_REQUIRED']))
  assert.equal(seen().logins, 0)
})

test('a browser that repeatedly loses its session gets an error page instead of endless redirects', async (t) => {
  const { page, gateway, seen } = await visitor(t)
  gateway.app.browserCookies.setSessionReference = () => {}

  await page.goto(`${gateway.url}/orders`)
  await fillIn(page)
  await page.getByRole('heading', { name: 'Logging in does not help' }).waitFor()
  assert.match(await page.content(), /accepts cookies of this site/)
  const { documents, logins } = seen()
  assert.equal(logins, 3)
  // The first visit, and after each login one load from the issuer and one from a page of ours.
  assert.deepEqual(documents, Array(7).fill('/orders'))

  await page.getByRole('link', { name: 'Log in again' }).click()
  await page.getByRole('heading', { name: 'Logging in does not help' }).waitFor()
  assert.equal(seen().logins, 1)
})

test('a browser that keeps no cookies gets an error page after one login', async (t) => {
  const { page, gateway, seen } = await visitor(t)
  await page.goto(`${gateway.url}/orders`)
  await page.getByLabel('Name').waitFor()
  await page.context().clearCookies({ domain: '127.0.0.1' })

  await fillIn(page)
  await page.getByRole('heading', { name: 'Login failed' }).waitFor()
  assert.equal(seen().logins, 1)
})
