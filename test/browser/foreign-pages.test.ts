import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, type TestContext, test } from 'node:test'
import type { Demo } from '../../demo/demo.ts'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { listen, stop } from '../../demo/listen.ts'
import { startDemo } from '../support/demo.ts'
import { useChromium } from './chromium.ts'

let demo: Demo
let foreignPort: number
const foreign = createServer((_request, response) => {
  response.setHeader('content-type', 'text/html').end('<!doctype html><title>Elsewhere</title>')
})
before(async () => {
  demo = await startDemo()
  foreignPort = await listen(foreign, 0)
})
after(async () => {
  await stop(foreign)
  await demo.close()
})
const openPage = useChromium()

/** Browsers send the cookie to another port of the same site, but not from another site. */
const elsewhere = [
  ['another origin of the same site', 'localhost', true],
  ['another site', '127.0.0.1', false],
] as const

for (const [where, host, sendsCookie] of elsewhere) {
  test(`a form on ${where} can not use the session`, async (t) => {
    const { page, calls, cookieSent } = await signedIn(t)
    await page.goto(`http://${host}:${foreignPort}/`)

    for (const method of ['GET', 'POST']) {
      const answered = page.waitForResponse(`${demo.url}/api/gettime**`)
      await page.evaluate(`(() => {
        const form = document.createElement('form')
        Object.assign(form, { method: '${method}', action: '${demo.url}/api/gettime' })
        document.body.append(form)
        form.submit()
      })()`)
      const answer = await answered
      assert.equal(answer.status(), 403)
      assert.equal(await cookieSent(answer.request()), sendsCookie)
      assert.match(await answer.text(), /"code":"BFF_CSRF_REJECTED"/)
      await page.goBack()
    }
    assert.equal(calls(), 0)
  })

  test(`a script on ${where} can not use the session`, async (t) => {
    const { page, calls } = await signedIn(t)
    await page.goto(`http://${host}:${foreignPort}/`)
    const tried = (path: string, init: string) =>
      page.evaluate(
        `fetch('${demo.url}${path}', ${init}).then((answer) => answer.type + answer.status, () => 'refused')`,
      )

    for (const path of ['/api/gettime', '/local/greeting', '/bff/user', '/bff/session']) {
      // With the header the browser sends a preflight, which is refused.
      assert.equal(await tried(path, `{ credentials: 'include', headers: { 'X-CSRF': '1' } }`), 'refused')
      assert.equal(await tried(path, `{ credentials: 'include' }`), 'refused')
      // Without the header it is sent, but the page can't read the answer, not even as an opaque one.
      assert.equal(await tried(path, `{ credentials: 'include', mode: 'no-cors' }`), 'refused')
    }
    assert.equal(calls(), 0)
  })

  test(`a page on ${where} can not embed anything of the gateway`, async (t) => {
    const { page, calls } = await signedIn(t)
    await page.goto(`http://${host}:${foreignPort}/`)
    const embed = (name: string, path: string) =>
      page.evaluate(`new Promise((resolve) => {
        const element = document.createElement('${name}')
        element.onload = () => resolve('loaded')
        element.onerror = () => resolve('failed')
        element.src = '${demo.url}${path}'
        document.body.append(element)
      })`)

    assert.equal(await embed('img', '/api/gettime'), 'failed')
    assert.equal(await embed('script', '/api/gettime'), 'failed')
    await embed('iframe', '/')
    const [frame] = page.mainFrame().childFrames()
    assert.ok(frame)
    assert.doesNotMatch(await frame.content(), /An access token that never expires in use/)
    assert.equal(calls(), 0)
  })

  test(`a WebSocket handshake of a page on ${where} does not reach an API, one of our own page does`, async (t) => {
    const { page, calls } = await signedIn(t)
    const url = `${demo.url.replace('http', 'ws')}/api/gettime`
    const tried = () =>
      page.evaluate(`new Promise((resolve) => {
        const socket = new WebSocket('${url}')
        socket.onopen = () => resolve('opened')
        socket.onerror = () => resolve('refused')
      })`)
    const opened = await page.goto(`${demo.url}/healthz`)
    assert.equal(opened?.status(), 200)
    // The time API has no WebSockets, so it refuses the handshake that reaches it.
    assert.equal(await tried(), 'refused')
    assert.equal(calls(), 1)

    await page.goto(`http://${host}:${foreignPort}/`)
    assert.equal(await tried(), 'refused')
    assert.equal(calls(), 1)
  })

  test(`requests of a page on ${where} without a preflight change nothing`, async (t) => {
    const { page, context, calls } = await signedIn(t)
    await page.goto(`http://${host}:${foreignPort}/`)
    const sends: [path: string, body?: string][] = [
      ['/api/gettime', `'{}'`],
      ['/api/gettime', `new Blob(['{}'], { type: 'text/plain' })`],
      ['/bff/session', `new URLSearchParams('x=1')`],
      ['/bff/backchannel-logout', `new URLSearchParams('logout_token=x')`],
      ['/bff/logout'],
    ]
    for (const [path, body] of sends) {
      const init = `{ mode: 'no-cors', credentials: 'include'${body ? `, method: 'POST', body: ${body}` : ''} }`
      // Some are hidden from the page by Cross-Origin-Resource-Policy.
      const seen = await page.evaluate(
        `fetch('${demo.url}${path}', ${init}).then((answer) => answer.type, () => 'hidden')`,
      )
      assert.match(String(seen), /^(opaque|hidden)$/, path)
    }
    assert.equal(calls(), 0)

    const own = await context.newPage()
    await own.goto(demo.url)
    await own.locator('body[data-session="signed-in"]').waitFor()
  })

  test(`a link on ${where} does not sign the user out`, async (t) => {
    const { page, context } = await signedIn(t)
    await page.goto(`http://${host}:${foreignPort}/`)
    const answered = page.waitForResponse((response) => response.url().includes('/bff/logout'))
    await page.evaluate(`location.assign('${demo.url}/bff/logout')`)
    await answered

    const own = await context.newPage()
    await own.goto(demo.url)
    await own.locator('body[data-session="signed-in"]').waitFor()
  })
}

test('a cookie injected by another port of our host does not put the user into another user’s session', async (t) => {
  const attacker = createHttpBrowser()
  await attacker.signIn(demo.url, 'bob')
  const { page } = await signedIn(t)
  await page.goto(`http://localhost:${foreignPort}/`)
  await page.evaluate(`document.cookie = 'bff=${attacker.cookies.get('bff')?.value}; path=/bff'`)

  await page.goto(`${demo.url}/healthz`)
  const who = await page.evaluate(
    `fetch('/bff/session', { headers: { 'X-CSRF': '1' } }).then((answer) => answer.text())`,
  )
  assert.match(String(who), /"isAuthenticated":false/)
})

/** A profile in which alice is signed in, and how often the API has been called since. */
async function signedIn(t: TestContext) {
  const { page } = await openPage(t)
  const context = page.context()
  await page.goto(`${demo.url}/bff/login?returnUrl=/`)
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('body[data-session="signed-in"]').waitFor()
  const before = demo.timeApi.requests.length
  return {
    page,
    context,
    calls: () => demo.timeApi.requests.length - before,
    cookieSent: async (request: { allHeaders(): Promise<Record<string, string>> }) =>
      /\bbff=/.test((await request.allHeaders())['cookie'] ?? ''),
  }
}
