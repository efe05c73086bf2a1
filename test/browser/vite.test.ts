import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { Page } from 'playwright-core'
import { createServer, type UserConfig } from 'vite'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { codeBlocks } from '../docs/markdown.ts'
import { useChromium } from './chromium.ts'
import { startGateway } from './gateway.ts'

const guide = readFileSync(new URL('../../docs/serve-the-frontend.md', import.meta.url), 'utf8')

let issuer: DemoIssuer
let apiUrl: string
const api = createHttpServer(({ headers }, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ hasToken: headers.authorization?.startsWith('Bearer ') ?? false }))
})
before(async () => {
  issuer = await startIssuer()
  apiUrl = `http://127.0.0.1:${await listen(api, 0)}`
})
after(async () => {
  await stop(api)
  await issuer.close()
})
const openPage = useChromium()

const html = `<!doctype html>
<title>In development</title>
<link rel="icon" href="data:,">
<script>window.inlineRan = true</script>
<h1></h1>
<script type="module" src="./main.js"></script>`
const main = `import { title } from './title.js'
const show = (text) => { document.querySelector('h1').textContent = text }
show(title)
import.meta.hot.accept('./title.js', (module) => show(module.title))`
const title = (text: string) => `export const title = '${text}'`

interface Wanted {
  env?: Record<string, string>
  /** Path of the public URL, and Vite's base. */
  path?: string
}

/** A frontend served by Vite, with the documented configuration, behind a gateway. */
async function start(t: TestContext, { env = {}, path = '' }: Wanted = {}) {
  const root = mkdtempSync(join(tmpdir(), 'fastify-bff-vite-'))
  const write = (name: string, text: string) => writeFileSync(join(root, name), text)
  write('index.html', html)
  write('main.js', main)
  write('title.js', title('Before'))

  const config = await documentedConfig()
  const cacheDir = join(root, '.vite')
  const vite = await createServer({
    ...config,
    base: `${path}/`,
    configFile: false,
    root,
    cacheDir,
    logLevel: 'silent',
  })
  await vite.listen()
  t.after(async () => {
    await vite.close()
    rmSync(root, { recursive: true })
  })
  const address = new URL(vite.resolvedUrls?.local[0] ?? '').origin
  const frontend = { API_URL: apiUrl, FRONTEND_URL: address + path, ...env }
  const gateway = await startGateway(issuer, frontend, path)
  t.after(() => gateway.close())
  return { gateway, address, write }
}

/** Only the port differs: any free one. */
async function documentedConfig(): Promise<UserConfig> {
  const snippet = codeBlocks(guide, 'js').find((block) => block.includes('vite.config.js')) ?? ''
  const { default: config } = await import(`data:text/javascript,${encodeURIComponent(snippet)}`)
  assert.equal(config.server.port, 5173)
  return { ...config, server: { ...config.server, port: 0, strictPort: false, host: '127.0.0.1' } }
}

async function signIn(page: Page): Promise<void> {
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('alice')
  await page.getByRole('button', { name: 'Sign in' }).click()
}

const places: [where: string, wanted: Wanted][] = [
  ['at the root', {}],
  ['behind a login', { env: { REQUIRE_LOGIN: 'true' } }],
  ['below a path', { path: '/shop' }],
]
for (const [where, wanted] of places) {
  test(`a page of Vite ${where} shows an edit without a reload, and calls the API`, async (t) => {
    const { gateway, address, write } = await start(t, wanted)
    const { page, faults } = await openPage(t)
    const requested: string[] = []
    page.on('request', (request) => requested.push(request.url()))
    const opened = page.waitForEvent('websocket')
    const connected = page.waitForEvent('console', (message) => message.text() === '[vite] connected.')

    await page.goto(wanted.env ? `${gateway.url}/` : `${gateway.url}/bff/login`)
    await signIn(page)
    await page.getByRole('heading', { name: 'Before' }).waitFor()
    assert.equal(page.url(), `${gateway.url}/`)
    assert.equal(await page.evaluate('window.inlineRan'), true)
    const socket = (await opened).url()
    assert.ok(socket.startsWith(`${gateway.url.replace('http', 'ws')}/?token=`), socket)
    await connected

    // A reload would remove it.
    await page.evaluate('window.sameDocument = true')
    write('title.js', title('After'))
    await page.getByRole('heading', { name: 'After' }).waitFor()
    assert.equal(await page.evaluate('window.sameDocument'), true)

    const call = `fetch('${gateway.url}/api/orders', { headers: { 'X-CSRF': '1' } })`
    assert.deepEqual(await page.evaluate(`${call}.then((answer) => answer.json())`), { hasToken: true })
    assert.deepEqual(
      requested.filter((url) => url.startsWith(address)),
      [],
    )
    assert.deepEqual(faults, [])
  })
}
