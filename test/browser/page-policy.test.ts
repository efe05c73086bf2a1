import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { freePort } from '../support/free-port.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { buildPages, filesOf, writeFiles } from './build-pages.ts'
import { useChromium } from './chromium.ts'

const openPage = useChromium()

/** The gateway with these files as its frontend. @returns its URL */
async function serve(t: TestContext, files: Record<string, string>, csp = ''): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontend-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFiles(folder, files)
  const port = await freePort()
  const url = `http://localhost:${port}`
  const env = { PUBLIC_URL: url, STATIC_DIR: folder, FRONTEND_CSP: csp }
  const { app } = await startInjectGateway(t, { env })
  await app.listen({ port, host: '127.0.0.1' })
  return url
}

for (const name of buildPages) {
  test(`the page of ${name} runs and is styled, without a violation`, async (t) => {
    const url = await serve(t, filesOf(name))
    const { page, faults } = await openPage(t)

    for (const path of ['/', '/orders']) {
      await page.goto(url + path)
      await page.getByText('the app runs').waitFor()
      await page.waitForFunction(`getComputedStyle(document.body).color === 'rgb(1, 2, 3)'`)
    }
    assert.deepEqual(faults, [])
  })
}

const inline = `<!doctype html><title>App</title><link rel="icon" href="data:,">
  <script type="importmap">{ "imports": { "app": "/app.js" } }</script>
  <style>body { color: rgb(1, 2, 3) }</style>
  <script>window.ran = [\`script "<!--"\r\n\`]</script>
  <body onload="ran.push(&quot;load&quot;)"><p style="color: rgb(4, 5, 6)">App</p>
  <template><script>ran.push('template')</script></template>
  <script type="module">import 'app'; document.body.append(document.querySelector('template').content.cloneNode(true))</script>`

test("a page's own scripts and handlers run, and what is injected does not", async (t) => {
  const url = await serve(t, { 'index.html': inline, 'app.js': `ran.push('module')` })
  const { page, faults } = await openPage(t)
  await page.goto(url)
  await page.waitForFunction(`ran.includes('load')`)
  const ran = (await page.evaluate('ran')) as string[]
  assert.deepEqual(ran.sort(), ['load', 'module', 'script "<!--"\n', 'template'])
  assert.deepEqual(
    await page.evaluate(`['body', 'p'].map((name) => getComputedStyle(document.querySelector(name)).color)`),
    ['rgb(1, 2, 3)', 'rgb(4, 5, 6)'],
  )
  assert.deepEqual(faults, [])

  await page.evaluate(`(() => {
    document.body.append(Object.assign(document.createElement('script'), { text: 'ran.push("injected")' }))
    document.body.insertAdjacentHTML('beforeend', '<img src="/none.png" onerror="ran.push(\\'injected\\')">')
  })()`)
  await page.waitForResponse(`${url}/none.png`).catch(() => {})
  assert.equal(((await page.evaluate('ran')) as string[]).includes('injected'), false)
  const violations = (faults as string[]).filter((fault) => fault.includes('Content Security Policy'))
  assert.equal(violations.length, 2, faults.join('\n'))
})

/** What a page tries, and the directive that allows it. */
const features = {
  wasm: `WebAssembly.instantiate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then(() => 'works')`,
  'a blob worker': `new Promise((resolve, reject) => {
    const worker = new Worker(URL.createObjectURL(new Blob(['postMessage("works")'])))
    Object.assign(worker, { onmessage: ({ data }) => resolve(data), onerror: () => reject('blocked') })
  })`,
}

test('wasm and blob workers need FRONTEND_CSP, images by https and from scripts do not', async (t) => {
  const files = { 'index.html': '<!doctype html><title>App</title><link rel="icon" href="data:,">' }
  const plain = await serve(t, files)
  const widened = await serve(t, files, "script-src 'wasm-unsafe-eval'; worker-src blob:")
  const { page } = await openPage(t)
  const tried = (code: string) => page.evaluate(`(async () => ${code})().catch(() => 'blocked')`)
  for (const [url, outcome] of [
    [plain, 'blocked'],
    [widened, 'works'],
  ] as const) {
    await page.goto(url)
    for (const [name, code] of Object.entries(features)) assert.equal(await tried(code), outcome, name)
    const blocked = await page.evaluate(`new Promise((resolve) => {
      const directives = []
      addEventListener('securitypolicyviolation', ({ effectiveDirective }) => directives.push(effectiveDirective))
      const svg = new Blob(['<svg xmlns="http://www.w3.org/2000/svg"/>'], { type: 'image/svg+xml' })
      const images = ['https://127.0.0.1:9/x.png', 'data:image/gif;base64,R0lGODlhAQABAAAAACw=', URL.createObjectURL(svg)]
      let left = images.length
      const done = () => { if (--left === 0) setTimeout(() => resolve(directives)) }
      for (const src of images) Object.assign(new Image(), { onload: done, onerror: done, src })
    })`)
    assert.deepEqual(blocked, [])
  }
})
