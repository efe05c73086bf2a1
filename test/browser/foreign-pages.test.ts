import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, type TestContext, test } from 'node:test'
import { type Demo, startDemo } from '../../demo/demo.ts'
import { listen, stop } from '../../demo/listen.ts'
import { useChromium } from './chromium.ts'

let demo: Demo
let foreignPort: number
const foreign = createServer((_request, response) => {
  response.setHeader('content-type', 'text/html').end('<!doctype html><title>Elsewhere</title>')
})
before(async () => {
  demo = await startDemo({ ports: { issuer: 0, timeApi: 0, gateway: 0 } })
  foreignPort = await listen(foreign, 0)
})
after(async () => {
  await stop(foreign)
  await demo.close()
})
const openPage = useChromium()

/** On another site the cookie stays behind; on another port of the same site browsers send it along. */
const elsewhere = [
  ['another origin of the same site', 'localhost', true],
  ['another site', '127.0.0.1', false],
] as const

for (const [where, host, sendsCookie] of elsewhere) {
  test(`a form on ${where} gets nothing from the gateway`, async (t) => {
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

  test(`a script on ${where} gets nothing from the gateway`, async (t) => {
    const { page, calls } = await signedIn(t)
    await page.goto(`http://${host}:${foreignPort}/`)
    const tried = (path: string, init: string) =>
      page.evaluate(
        `fetch('${demo.url}${path}', ${init}).then((answer) => answer.type + answer.status, () => 'refused')`,
      )

    for (const path of ['/api/gettime', '/local/greeting', '/bff/user', '/bff/session']) {
      // With the header the browser asks first (CORS), and is not let through.
      assert.equal(await tried(path, `{ credentials: 'include', headers: { 'X-CSRF': '1' } }`), 'refused')
      assert.equal(await tried(path, `{ credentials: 'include' }`), 'refused')
      // Sent, but without the header, and nobody sees the answer: what is below /bff not even as an opaque one.
      const sent = page.waitForRequest(`${demo.url}${path}`)
      const seen = await tried(path, `{ credentials: 'include', mode: 'no-cors' }`)
      assert.equal(seen, path.startsWith('/bff/') ? 'refused' : 'opaque0')
      if (seen !== 'refused') assert.equal((await (await sent).response())?.status(), 403)
    }
    assert.equal(calls(), 0)
  })

  test(`a page on ${where} can embed nothing of the gateway`, async (t) => {
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
    assert.doesNotMatch(await frame.content(), /A token that never runs out/)
    assert.equal(calls(), 0)
  })

  test(`a link on ${where} signs nobody out`, async (t) => {
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
