import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Page } from 'playwright-core'
import { codeBlocks } from '../docs/markdown.ts'
import { freePort } from '../support/free-port.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { useChromium } from './chromium.ts'

const openPage = useChromium()

/** A frontend written for Duende BFF 4, with a frame and a listener, and with the script of docs/silent-login.md. */
const files = {
  'index.html': `<!doctype html><title>App</title><link rel="icon" href="data:,">
    <output id="by-listener"></output><output id="by-document"></output><iframe></iframe>
    <script type="module" src="/app.js"></script>`,
  'app.js': `
    import { logInSilently } from '/document.js'
    addEventListener('message', ({ data, origin }) => {
      if (data.source !== 'bff-silent-login') return
      document.querySelector('#by-listener').textContent = origin + ' says ' + data.isLoggedIn
    })
    document.querySelector('iframe').src = '/bff/login?prompt=none'
    document.querySelector('#by-document').textContent = await logInSilently()`,
  'document.js':
    codeBlocks(readFileSync(new URL('../../docs/silent-login.md', import.meta.url), 'utf8'), 'js').find(
      (code) => code.includes('silent-login'),
    ) ?? '',
}

/** The gateway at this host, with that frontend. The issuer is on localhost. */
async function startFrontend(t: TestContext, host: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontend-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  const port = await freePort()
  const url = `http://${host}:${port}`
  const { app } = await startInjectGateway(t, { env: { PUBLIC_URL: url, STATIC_DIR: folder } })
  await app.listen({ port, host: '127.0.0.1' })
  return url
}

/** The messages of the page's frames. */
async function answers(page: Page, url: string): Promise<(string | null)[]> {
  await page.goto(url)
  const outputs = ['by-listener', 'by-document'].map((id) => page.locator(`#${id}:not(:empty)`))
  return Promise.all(outputs.map((output) => output.textContent()))
}

test('a page learns by a frame whether a user is signed in at the issuer', async (t) => {
  const url = await startFrontend(t, 'localhost')
  const { page, faults } = await openPage(t)
  const isSignedIn = () =>
    page.evaluate(`fetch('/bff/user?slide=false', { headers: { 'X-CSRF': '1' } }).then(({ ok }) => ok)`)
  assert.deepEqual(await answers(page, url), [`${url} says false`, 'false'])

  await page.goto(`${url}/bff/login`)
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${url}/`)
  await page.context().clearCookies({ name: 'bff' })

  assert.deepEqual(await answers(page, url), [`${url} says true`, 'true'])
  assert.equal(await isSignedIn(), true)
  assert.deepEqual(faults, [])
})

test('with the issuer on another site the page gets its answer too', async (t) => {
  const url = await startFrontend(t, '127.0.0.1')
  const { page, faults } = await openPage(t)
  assert.deepEqual(await answers(page, url), [`${url} says false`, 'false'])
  assert.deepEqual(faults, [])
})
