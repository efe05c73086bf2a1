import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Page, Response } from 'playwright-core'
import type { Demo } from '../../demo/demo.ts'
import { findTokens } from '../../demo/http-browser/find-tokens.ts'
import { startDemo } from '../support/demo.ts'
import { until } from '../support/until.ts'
import { useChromium } from './chromium.ts'

let demo: Demo
before(async () => {
  demo = await startDemo({ accessTokenLifetime: 8 })
})
after(() => demo.close())
const openPage = useChromium()

test('a user logs in, calls APIs while the token is renewed, and logs out', async (t) => {
  const { page, faults } = await openPage(t)
  await page.goto(demo.url)
  await page.getByText('Not signed in').waitFor()

  await page.getByRole('link', { name: 'Login' }).click()
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Alice Example', { exact: true }).waitFor()
  assert.equal(page.url(), `${demo.url}/`)

  await page.getByRole('button', { name: 'Call Local API' }).click()
  assert.match(await answerTo(page, '/local/greeting'), /"greeting": "Hello, Alice Example"/)
  await page.getByRole('button', { name: 'Call Remote API' }).click()
  assert.match(await answerTo(page, '/api/gettime'), /"user": "alice"/)
  assert.match((await page.locator('[data-remote-time]').textContent()) ?? '', /^\d\d:\d\d:\d\d$/)

  await page.getByText('Keep calling every').click()
  const renewals = page.locator('#events [data-event="renewal"]')
  await until(async () => (await renewals.count()) >= 2)
  await until(async () => (await page.locator('#timeline .renewal-line').count()) >= 2)
  assert.ok(Number(await page.locator('[data-renewals]').textContent()) >= 2)
  assert.equal(await page.locator('#events [data-failed]').count(), 0)
  assert.equal(await page.locator('[data-calls-failed]').textContent(), '0')
  await page.getByText('Keep calling every').click()

  await page.reload()
  await page.getByText('Alice Example', { exact: true }).waitFor()
  // Until the browser has left the page, that page can also show that its session has ended.
  const returned = page.waitForEvent('framenavigated', (frame) => frame.url() === `${demo.url}/`)
  await page.getByRole('button', { name: 'Logout' }).click()
  await returned
  await page.getByText('Not signed in').waitFor()
  assert.equal(page.url(), `${demo.url}/`)
  assert.deepEqual(faults, [])

  await page.getByRole('button', { name: 'Call Remote API' }).click()
  assert.match(await answerTo(page, '/api/gettime'), /"code": "BFF_SESSION_REQUIRED"/)
})

test('nothing that a script can reach holds a token or the cookie', async (t) => {
  const { page, faults } = await openPage(t)
  const received: Promise<{ url: string; headers: Headers; body: string }>[] = []
  const keep = (response: Response) => {
    if (!response.url().startsWith(demo.url) || response.status() >= 300) return
    // Never ends: its events are read below.
    if (response.url().endsWith('/bff/events')) return
    const answer = async () => ({
      url: response.url(),
      headers: new Headers((await response.headersArray()).map(({ name, value }) => [name, value])),
      body: await response.text(),
    })
    received.push(answer())
  }
  page.on('response', keep)
  await signIn(page)
  await page.getByRole('button', { name: 'Call Remote API' }).click()
  await answerTo(page, '/api/gettime')
  await page.getByRole('button', { name: 'Get Session' }).click()
  const session = await answerTo(page, '/bff/session')
  assert.match(session, /"isAuthenticated": true/)

  const body = await page.evaluate<string>(`(async () => {
    const { body } = await fetch('/bff/events')
    const reader = body.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('event: session')) text += (await reader.read()).value
    await reader.cancel()
    return text
  })()`)
  received.push(Promise.resolve({ url: `${demo.url}/bff/events`, headers: new Headers(), body }))

  const tokens = demo.timeApi.requests.map(({ accessTokenHash }) => accessTokenHash)
  const known = new Set(tokens.filter((hash) => hash !== undefined))
  assert.ok(known.size > 0)
  // Wait for all answers: one that is still being read when the page closes would fail.
  page.off('response', keep)
  const answers = await Promise.all(received)
  assert.ok(answers.some(({ url }) => url.endsWith('/bff/session')))
  assert.deepEqual(
    answers.flatMap((answer) => findTokens(answer, known)),
    [],
  )

  const [cookie] = (await page.context().cookies(demo.url)).filter(({ name }) => name === 'bff')
  assert.equal(cookie?.httpOnly, true)
  assert.equal(cookie?.sameSite, 'Strict')
  assert.equal(await page.evaluate('document.cookie'), '')
  assert.equal(await page.evaluate('localStorage.length + sessionStorage.length'), 0)
  assert.ok(!(await page.content()).includes(cookie?.value ?? ''))
  assert.deepEqual(faults, [])
})

test('a second tab shows renewals, and the end of the session, without a call of its own', async (t) => {
  const { page } = await openPage(t)
  await signIn(page)
  const second = await page.context().newPage()
  await second.goto(demo.url)
  await second.getByText('Alice Example', { exact: true }).waitFor()

  await page.getByText('Keep calling every').click()
  await second.locator('#events [data-event="renewal"]').first().waitFor()
  assert.equal(await second.locator('[data-calls]').textContent(), '0')

  await page.getByRole('button', { name: 'Logout' }).click()
  await second.getByText('Your session has ended. Log in again to continue.').waitFor()
  assert.match((await second.locator('#events li').first().textContent()) ?? '', /Session ended\s*logout/)
})

test("the page's policies forbid everything that it does not need", async (t) => {
  const { page, faults } = await openPage(t)
  await page.goto(demo.url)

  await page.evaluate(
    `document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = true' }))`,
  )
  assert.equal(await page.evaluate('window.ran'), undefined)
  await until(() => faults.join().includes('Content Security Policy'))
  await assert.rejects(() => page.evaluate(`fetch('http://127.0.0.1:9/')`), /Failed to fetch/)
})

test('the page can be used with the keyboard only', async (t) => {
  const { page } = await openPage(t)
  await page.goto(demo.url)
  await page.getByText('Not signed in').waitFor()

  await tabTo(page, 'Login')
  await page.keyboard.press('Enter')
  // The first field of the form gets the focus just after it is shown.
  await page.locator('#username:focus').waitFor()
  await page.keyboard.type('bob')
  await page.keyboard.press('Tab')
  await page.keyboard.type('bob')
  await page.keyboard.press('Enter')
  await page.getByText('Bob Example', { exact: true }).waitFor()

  await tabTo(page, 'Call Remote API')
  await page.keyboard.press('Enter')
  await answerTo(page, '/api/gettime')
  await tabTo(page, 'keep-calling')
  await page.keyboard.press('Space')
  assert.equal(await page.getByLabel('Keep calling').isChecked(), true)
  await page.keyboard.press('Space')
  await page.getByRole('button', { name: 'Logout' }).focus()
  await page.keyboard.press('Enter')
  await page.getByText('Not signed in').waitFor()
})

for (const width of [320, 390, 768]) {
  test(`the page fits a screen ${width} pixels wide`, async (t) => {
    const { page } = await openPage(t, { viewport: { width, height: 700 } })
    const overflows = 'document.documentElement.scrollWidth > document.documentElement.clientWidth'
    await page.goto(demo.url)
    await page.getByText('Not signed in').waitFor()
    assert.equal(await page.evaluate(overflows), false)

    await page.getByRole('link', { name: 'Login' }).click()
    await page.getByLabel('Name').waitFor()
    assert.equal(await page.evaluate(overflows), false)

    await signIn(page)
    await page.getByRole('button', { name: 'Get Session' }).click()
    await answerTo(page, '/bff/session')
    assert.equal(await page.evaluate(overflows), false)
  })
}

test('on a phone the timeline is in sight without scrolling, signed in or not', async (t) => {
  // As much as Safari leaves of an iPhone's screen.
  const height = 664
  const { page } = await openPage(t, { viewport: { width: 390, height } })
  for (const arrive of [() => page.goto(demo.url), () => signIn(page)]) {
    await arrive()
    const box = await page.locator('#timeline').boundingBox()
    assert.ok(box && box.y >= 0 && box.y + box.height <= height, JSON.stringify(box))
  }
})

test('signed out, Login is the only primary button', async (t) => {
  const { page } = await openPage(t)
  await page.goto(demo.url)
  await page.getByText('Not signed in').waitFor()
  const primary = `[...document.querySelectorAll('.button')]
    .filter((button) => button.checkVisibility({ visibilityProperty: true }))
    .filter((button) => getComputedStyle(button).backgroundColor !== 'rgba(0, 0, 0, 0)')
    .map((button) => button.textContent)`
  // Its colour fades in.
  await until(async () => ((await page.evaluate(primary)) as string[]).length === 1)
  assert.deepEqual(await page.evaluate(primary), ['Login'])
  await signIn(page)
  await until(async () => ((await page.evaluate(primary)) as string[]).join() === 'Call Remote API')
})

test('a renewal is announced to screen readers, and the tick on the bar says what it is', async (t) => {
  const { page } = await openPage(t)
  await signIn(page)
  await page.getByText('renewed from here', { exact: true }).waitFor()
  await page.getByText('Keep calling every').click()
  await page
    .getByRole('status')
    .getByText(/^Access token renewed, now token \d+$/)
    .waitFor()
})

for (const colorScheme of ['light', 'dark'] as const) {
  test(`text has enough contrast in ${colorScheme} colours`, async (t) => {
    const { page } = await openPage(t, { colorScheme })
    await page.goto(demo.url)
    await page.getByText('Not signed in').waitFor()
    assert.deepEqual(await page.evaluate(poorContrasts), [])

    await page.getByRole('button', { name: 'Call Remote API' }).click()
    await answerTo(page, '/api/gettime')
    assert.deepEqual(await page.evaluate(poorContrasts), [])

    await signIn(page)
    await page.getByRole('button', { name: 'Get Session' }).click()
    await answerTo(page, '/bff/session')
    assert.deepEqual(await page.evaluate(poorContrasts), [])
    const isDark = await page.evaluate(`matchMedia('(prefers-color-scheme: dark)').matches`)
    assert.equal(isDark, colorScheme === 'dark')
  })
}

test('the page reports an unreachable gateway, without an uncaught error', async (t) => {
  const { page, faults } = await openPage(t)
  await signIn(page)

  await page.route('**/*', (route) => route.abort())
  await page.getByRole('button', { name: 'Call Remote API' }).click()
  await page.getByText('The gateway does not answer').waitFor()
  assert.match(await answerTo(page, '/api/gettime'), /The gateway did not answer/)
  await page.unroute('**/*')
  await page.getByText('The gateway does not answer').waitFor({ state: 'hidden' })

  assert.deepEqual(
    faults.filter((fault) => !fault.includes('ERR_FAILED')),
    [],
  )
})

async function signIn(page: Page, user = 'alice'): Promise<void> {
  await page.goto(`${demo.url}/bff/login?returnUrl=/`)
  await page.getByLabel('Name').fill(user)
  await page.getByLabel('Password').fill(user)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('body[data-session="signed-in"]').waitFor()
}

/** The content of the response pane once it shows the answer to `path`. */
async function answerTo(page: Page, path: string): Promise<string> {
  await page.locator('[data-request]', { hasText: `GET ${path} ` }).waitFor()
  return (await page.locator('#response').textContent()) ?? ''
}

/** Presses Tab until the element with that text or identifier has the visible focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 20; presses++) {
    await page.keyboard.press('Tab')
    const focused = await page.evaluate(
      `[document.activeElement.id, document.activeElement.textContent.trim()]`,
    )
    if (!(focused as string[]).includes(name)) continue
    assert.equal(await page.evaluate(`document.activeElement.matches(':focus-visible')`), true)
    return
  }
  assert.fail(`Tab never came to ${name}`)
}

/**
 * All texts whose contrast with their background is below 4.5 to 1, or 3 to 1 for large text. The colours
 * are resolved by a canvas, in any notation of the style sheet.
 * @see https://www.w3.org/TR/WCAG22/#contrast-minimum
 */
const poorContrasts = `(() => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
  const context = canvas.getContext('2d', { willReadFrequently: true })
  const luminanceOf = (colors) => {
    context.clearRect(0, 0, 1, 1)
    for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1) }
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((byte) => {
      const share = byte / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const backgroundsOf = (element) =>
    element ? [...backgroundsOf(element.parentElement), getComputedStyle(element).backgroundColor] : ['Canvas']
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const poor = []
  while (texts.nextNode()) {
    const { parentElement: element, textContent } = texts.currentNode
    if (textContent.trim() === '' || element.closest('svg, .visually-hidden') || !element.checkVisibility({ visibilityProperty: true })) continue
    const style = getComputedStyle(element)
    const backgrounds = backgroundsOf(element)
    const [text, ground] = [luminanceOf([...backgrounds, style.color]), luminanceOf(backgrounds)]
    const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05)
    const size = Number.parseFloat(style.fontSize)
    const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700)
    if (contrast < (isLarge ? 3 : 4.5)) poor.push(textContent.trim() + ': ' + contrast.toFixed(2))
  }
  return poor
})()`
