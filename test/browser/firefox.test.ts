import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { before, type TestContext, test } from 'node:test'
import type { Page } from 'puppeteer-core'
import { startUpstream } from '../proxy/support.ts'
import { until } from '../support/until.ts'
import { buildPages, filesOf, writeFiles } from './build-pages.ts'
import { strictApi, useClientPages } from './client-pages.ts'
import { startGateway } from './gateway.ts'
import { fillIn, useBrowser } from './puppeteer.ts'

const { folder, issuer } = useClientPages()
before(() => {
  // As Duende's frontends do: a frame in the page, and a listener.
  writeFileSync(
    join(folder, 'frame.html'),
    `<!doctype html><link rel="icon" href="data:,"><script src="/frame.js"></script><iframe src="/bff/silent-login"></iframe>`,
  )
  writeFileSync(
    join(folder, 'frame.js'),
    `window.outcomes = []
    addEventListener('message', ({ data }) => outcomes.push(data.isLoggedIn))`,
  )
})
const openPages = useBrowser('firefox')

/** On localhost, where the issuer is, too: browsers keep its cookies from frames of other sites. */
async function start(t: TestContext) {
  const api = await startUpstream(t, strictApi())
  const gateway = await startGateway(issuer(), { STATIC_DIR: folder, API_URL: api.url }, '', 'localhost')
  t.after(() => gateway.close())
  const answers: string[] = []
  let streams = 0
  gateway.app.server.on('request', ({ url = '' }, response) => {
    if (url === '/bff/events') streams++
    response.once('close', () => {
      if (url === '/bff/events') streams--
      answers.push(`${response.statusCode} ${url.split('?', 1)[0]}`)
    })
  })
  return { ...(await openPages(t)), url: gateway.url, answers, streams: () => streams }
}

async function signIn(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/bff/login?prompt=login&returnUrl=/app.html`)
  await fillIn(page)
  await until(() => page.url() === `${url}/app.html`)
}

const lastSeen = async (page: Page): Promise<Record<string, unknown>> =>
  JSON.parse((await page.evaluate('JSON.stringify(seen.at(-1) ?? {})')) as string)

test('Firefox: the client logs in, calls, follows the session in all tabs, and logs out', async (t) => {
  const { newPage, faults, url, streams } = await start(t)
  const page = await newPage()
  const second = await newPage()
  for (const tab of [second, page]) {
    await tab.goto(`${url}/app.html?tab=2#top`)
    await until(async () => (await lastSeen(tab))['isAuthenticated'] === false)
  }

  await page.evaluate('client.login()')
  await fillIn(page)
  await until(() => page.url() === `${url}/app.html?tab=2#top`)
  assert.equal(await page.evaluate('client.user().then(({ name }) => name)'), 'Alice Example')
  assert.equal(await page.evaluate('client.session().then((session) => session.isAuthenticated)'), true)
  for (const tab of [page, second]) await until(async () => (await lastSeen(tab))['isAuthenticated'] === true)
  assert.equal(streams(), 1)

  assert.equal(await page.evaluate(`client.fetch('/api/x').then((answer) => answer.text())`), 'fine')
  for (const tab of [page, second]) await until(async () => (await lastSeen(tab))['renewals'] === 1)

  await page.evaluate('void client.logout()')
  await until(async () => (await lastSeen(second))['reason'] === 'logout')
  await until(() => page.url() === `${url}/`)
  assert.deepEqual(faults, [])
})

test('Firefox: a silent login needs a user at the issuer, never hangs, and survives a reload', async (t) => {
  const { newPage, url, answers } = await start(t)
  const page = await newPage()
  await page.goto(`${url}/app.html`)
  assert.equal(await page.evaluate('client.silentLogin()'), false)
  await signIn(page, url)
  const cookies = await page.browserContext().cookies()
  await page.browserContext().deleteCookie(...cookies.filter(({ name }) => name === 'bff'))
  assert.equal(await page.evaluate('client.user()'), null)
  assert.equal(await page.evaluate('client.silentLogin()'), true)
  assert.equal(await page.evaluate('client.user().then(({ subject }) => subject)'), 'alice')

  // A gateway that accepts connections and never answers.
  const silent = createServer((socket) => socket.on('error', () => {}))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.after(() => silent.close())
  const address = silent.address()
  const port = typeof address === 'object' ? address?.port : undefined
  assert.equal(
    await page.evaluate(`connectTo('http://127.0.0.1:${port}').silentLogin({ timeoutMs: 100 })`),
    false,
  )
  assert.equal(await page.evaluate(`document.querySelectorAll('iframe').length`), 0)

  // Firefox loads the frame's last URL again: a used callback would be refused.
  await page.goto(`${url}/frame.html`)
  for (const _ of ['first', 'reloaded']) {
    await until(async () => (await page.evaluate('outcomes.length')) === 1)
    assert.deepEqual(await page.evaluate('outcomes'), [true])
    await page.evaluate('window.isOld = true')
    await page.evaluate('void setTimeout(() => location.reload())')
    await until(async () => (await page.evaluate('window.isOld')) === undefined)
  }
  assert.deepEqual(
    answers.filter((answer) => answer.startsWith('4') && answer.endsWith('/bff/callback')),
    [],
  )
})

test('Firefox: ten logins begun one after another in tabs of their own all finish', async (t) => {
  const { newPage, url } = await start(t)
  const tabs: Page[] = []
  for (let number = 0; number < 10; number++) {
    const tab = await newPage()
    await tab.goto(`${url}/bff/login?prompt=login&returnUrl=/?tab=${number}`)
    tabs.push(tab)
  }
  for (const [number, tab] of tabs.entries()) {
    await fillIn(tab)
    await until(() => tab.url() === `${url}/?tab=${number}`)
  }
})

test('Firefox: the pages of builds run and are styled, without a violation', async (t) => {
  const { newPage, faults } = await openPages(t)
  const page = await newPage()
  for (const name of buildPages) {
    const build = mkdtempSync(join(folder, 'build-'))
    writeFiles(build, filesOf(name))
    const gateway = await startGateway(issuer(), { STATIC_DIR: build }, '', 'localhost')
    t.after(() => gateway.close())
    await page.goto(`${gateway.url}/orders`)
    await until(() => page.evaluate(`document.body.textContent.includes('the app runs')`))
    await until(() => page.evaluate(`getComputedStyle(document.body).color === 'rgb(1, 2, 3)'`))
  }
  assert.deepEqual(faults, [])
})
