import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { type TestContext, test } from 'node:test'
import type { Page } from 'playwright-core'
import { listen, stop } from '../../demo/listen.ts'
import { freePort } from '../support/free-port.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { useChromium } from './chromium.ts'

const openPage = useChromium()

/** A server of the frontend's pages, or of another site's. @returns its origin */
async function startPages(t: TestContext, headers: Record<string, string> = {}): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html', ...headers })
    response.end('<!doctype html><title>Page</title><link rel="icon" href="data:,">')
  })
  const port = await listen(server, 0)
  t.after(() => stop(server))
  return `http://localhost:${port}`
}

/** An API that counts what it has. */
async function startApi(t: TestContext): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'x-total-count': '42', etag: '"1"' }).end('[]')
  })
  const port = await listen(server, 0)
  t.after(() => stop(server))
  return `http://127.0.0.1:${port}`
}

/** The gateway, for a frontend at `origin` that it does not serve. */
async function startFor(t: TestContext, origin: string): Promise<string> {
  const port = await freePort()
  const url = `http://localhost:${port}`
  const env = {
    PUBLIC_URL: url,
    CORS_ORIGINS: origin,
    CORS_EXPOSED_HEADERS: 'X-Total-Count',
    API_URL: await startApi(t),
  }
  const { app, issuer } = await startInjectGateway(t, { env })
  // The policy of its login page names where its form may lead, and Chromium applies that to all redirects after it.
  issuer.allowGateway(origin)
  await app.listen({ port, host: '127.0.0.1' })
  return url
}

/** What the page is told by a frame of silent login, or `nothing` once the frame has loaded without a word. */
function logInSilently(page: Page, gateway: string): Promise<unknown> {
  return page.evaluate(`new Promise((resolve) => {
    const frame = Object.assign(document.createElement('iframe'), { src: '${gateway}/bff/silent-login' })
    addEventListener('message', ({ data, origin, source }) => {
      if (source === frame.contentWindow) resolve([origin, data.isLoggedIn])
    })
    // The message is posted before the frame has loaded.
    frame.addEventListener('load', () => setTimeout(() => resolve('nothing')))
    document.body.append(frame)
  })`)
}

/** As a script of the frontend calls the gateway. @returns status and what it may read */
function call(page: Page, url: string): Promise<unknown> {
  return page.evaluate(`fetch('${url}', { credentials: 'include', headers: { 'X-CSRF': '1' } })
    .then(({ status, headers }) => [status, headers.get('x-total-count'), headers.get('etag')])`)
}

for (const [policy, headers] of [
  ['the usual referrer policy', {}],
  ['no referrer', { 'referrer-policy': 'no-referrer' }],
] as const) {
  test(`a frontend on another origin logs in, calls, and logs out (${policy})`, async (t) => {
    const frontend = await startPages(t, headers)
    const gateway = await startFor(t, frontend)
    const { page, faults } = await openPage(t)
    await page.goto(frontend)
    assert.deepEqual(await logInSilently(page, gateway), [gateway, false])

    const wanted = `${frontend}/orders?page=2#top`
    await page.goto(`${gateway}/bff/login?returnUrl=${encodeURIComponent(wanted)}`)
    await page.getByLabel('Name').fill('alice')
    await page.getByLabel('Password').fill('alice')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(wanted)
    assert.deepEqual(await call(page, `${gateway}/api/orders`), [200, '42', null])

    await page.context().clearCookies({ name: 'bff' })
    assert.deepEqual(await logInSilently(page, gateway), [gateway, true])
    assert.deepEqual(await call(page, `${gateway}/api/orders`), [200, '42', null])

    const logoutUrl = await page.evaluate(
      `fetch('${gateway}/bff/user', { credentials: 'include', headers: { 'X-CSRF': '1' } })
        .then((answer) => answer.json())
        .then((claims) => claims.find(({ type }) => type === 'bff:logout_url').value)`,
    )
    await page.goto(`${gateway}${logoutUrl}&returnUrl=${encodeURIComponent(`${frontend}/bye`)}`)
    await page.waitForURL(`${frontend}/bye`)
    const [status] = (await call(page, `${gateway}/api/orders`)) as number[]
    assert.equal(status, 401)
    const expected = /status of 401|target origin provided/
    assert.deepEqual(
      faults.filter((fault) => !expected.test(fault)),
      [],
    )
  })
}

test('a page of an origin that is not listed learns nothing, and no login ends there', async (t) => {
  const frontend = await startPages(t)
  const stranger = await startPages(t)
  const gateway = await startFor(t, frontend)
  const { page } = await openPage(t)
  await page.goto(`${gateway}/bff/login?returnUrl=${encodeURIComponent(frontend)}`)
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${frontend}/`)

  await page.goto(stranger)
  assert.equal(await logInSilently(page, gateway), 'nothing')
  await page.goto(`${gateway}/bff/login?returnUrl=${encodeURIComponent(stranger)}`)
  await page.getByRole('heading', { name: 'Invalid returnUrl' }).waitFor()
})
