import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { until } from '../support/until.ts'
import { useClientPages } from './client-pages.ts'
import { startGateway } from './gateway.ts'
import { type BrowserName, fillIn, useBrowser } from './puppeteer.ts'

const { folder, issuer } = useClientPages()

const browsers: [BrowserName, ReturnType<typeof useBrowser>][] = [
  ['chrome', useBrowser('chrome')],
  ['firefox', useBrowser('firefox')],
]

for (const [name, openPages] of browsers) {
  async function start(t: TestContext) {
    const gateway = await startGateway(issuer(), { STATIC_DIR: folder }, '', 'localhost')
    t.after(() => gateway.close())
    const { newPage } = await openPages(t)
    const page = await newPage()
    const text = () => page.evaluate('document.body.innerText') as Promise<string>
    await page.goto(`${gateway.url}/bff/login?prompt=login&returnUrl=/react.html`)
    await fillIn(page)
    await until(async () => (await text()).includes('Hello Alice Example'))
    return { gateway, page, newPage, text }
  }

  test(`${name}: going back to a kept page after the session has ended elsewhere shows nothing of the user`, async (t) => {
    const { gateway, page, text } = await start(t)
    // This listener comes after the client's, so it sees what a user would see then.
    await page.evaluate(`addEventListener('pageshow', ({ persisted }) => {
      sessionStorage.setItem('shown', JSON.stringify([persisted, getComputedStyle(document.body).visibility]))
    })`)
    await page.goto(`${gateway.url}/`)
    const cookies = await page.browserContext().cookies()
    const cookie = cookies.find((one) => one.name === 'bff')?.value
    const headers = { host: new URL(gateway.url).host, cookie: `bff=${cookie}`, 'sec-fetch-site': 'none' }
    assert.equal((await gateway.app.inject({ url: '/bff/logout', headers })).statusCode, 302)

    await page.evaluate('history.back()')
    await until(async () => (await text()).includes('Signed out'))
    assert.equal(page.url(), `${gateway.url}/react.html`)
    const shown = await page.evaluate(`sessionStorage.getItem('shown')`)
    // Firefox keeps no page that has an open connection or lock when it is left, and loads it again.
    assert.equal(shown, name === 'firefox' ? null : '[true,"hidden"]')
    assert.ok(!(await text()).includes('Alice'))
  })

  test(`${name}: going back after a logout shows nothing of the user`, async (t) => {
    const { gateway, page, text } = await start(t)
    await page.evaluate(`document.querySelector('button:last-of-type').click()`)
    await until(() => page.url() === `${gateway.url}/`)
    for (let steps = 1; page.url() !== `${gateway.url}/react.html`; steps++) {
      assert.ok(steps < 6)
      const left = page.url()
      await page.evaluate('history.back()')
      await until(() => page.url() !== left)
    }
    await until(async () => (await text()).includes('Signed out'))
    assert.ok(!(await text()).includes('Alice'))
  })
}
