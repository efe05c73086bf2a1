import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Page } from 'puppeteer-core'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { startGateway } from '../browser/gateway.ts'
import { type BrowserName, fillIn, launch, openPages } from '../browser/puppeteer.ts'
import { until } from '../support/until.ts'
import { splitHostsPage } from './split-hosts-page.ts'

/**
 * Fresh builds of common frontends, unchanged, and a frontend on another origin, clicked through in Chromium and
 * Firefox: `node test/samples/run.ts`. Creates the builds with npm in a temporary folder, which takes minutes and some
 * 1.5 GB, or takes those in `--folder`. Not part of `npm test`, which uses kept pages of such builds.
 */
const { values } = parseArgs({ options: { folder: { type: 'string' } } })
const folder = resolve(values.folder ?? mkdtempSync(join(tmpdir(), 'fastify-bff-samples-')))
console.log(`The builds are kept in ${folder}: name it with --folder to use them again`)

const vite = (template: string) => [`npm create -y vite@latest v-${template} -- --template ${template}-ts`]
const angular = (name: string, ssr: boolean) => [
  `npx -y @angular/cli@latest new ${name} --defaults --skip-git --ssr=${ssr} --skip-install`,
]
const samples = [
  { name: 'Vite React', at: 'v-react', create: vite('react'), dist: 'dist' },
  { name: 'Vite Vue', at: 'v-vue', create: vite('vue'), dist: 'dist' },
  { name: 'Vite Svelte', at: 'v-svelte', create: vite('svelte'), dist: 'dist' },
  { name: 'Angular', at: 'ng', create: angular('ng', false), dist: 'dist/ng/browser' },
  { name: 'Angular SSR', at: 'ng-ssr', create: angular('ng-ssr', true), dist: 'dist/ng-ssr/browser' },
]

let failed = 0
const built = samples.filter(({ name, at, create, dist }) => {
  if (existsSync(join(folder, at, dist))) return true
  const run = (command: string, cwd: string) =>
    execFileSync('sh', ['-c', command], { cwd, stdio: ['ignore', 'ignore', 'inherit'], env: quiet() })
  try {
    for (const command of create) run(command, folder)
    run('npm install --no-audit --no-fund && npm run build', join(folder, at))
    return true
  } catch {
    console.log(`${name.padEnd(12)} could not be built`)
    failed++
    return false
  }
})

function quiet(): NodeJS.ProcessEnv {
  return { ...process.env, CI: 'true', NG_CLI_ANALYTICS: 'false' }
}

/** All style sheets apply, and the page shows something. */
const isStyled = `document.readyState === 'complete' && document.body.innerText.trim() !== '' &&
  [...document.querySelectorAll('link[rel=stylesheet]')].every(({ sheet, media }) => sheet && matchMedia(media || 'all').matches)`

const logOut = `fetch('/bff/user', { headers: { 'x-csrf': '1' } })
  .then((answer) => answer.json())
  .then((claims) => void setTimeout(() => location.assign(claims.find(({ type }) => type === 'bff:logout_url').value)))`

const api = createServer((request, response) => {
  request.resume()
  response.writeHead(200, { 'content-type': 'application/json' }).end('[]')
})
const apiUrl = `http://127.0.0.1:${await listen(api, 0)}`
const issuer: DemoIssuer = await startIssuer()

for (const browserName of ['chrome', 'firefox'] as const) {
  const browser = await launch(browserName)
  for (const { name, at, dist } of built) {
    const gateway = await startGateway(
      issuer,
      { STATIC_DIR: join(folder, at, dist), API_URL: apiUrl },
      '',
      'localhost',
    )
    const context = await browser.createBrowserContext()
    const { newPage, faults } = openPages(context)
    await walk(name, browserName, faults, await newPage(), {
      page: async (page) => {
        await page.goto(gateway.url)
        await until(() => page.evaluate(isStyled))
      },
      login: async (page) => {
        await page.goto(`${gateway.url}/bff/login?prompt=login&returnUrl=/`)
        await fillIn(page)
        await until(() => page.url() === `${gateway.url}/`)
      },
      api: async (page) => expectStatus(await page.evaluate(call('/api/orders')), 200),
      logout: async (page) => {
        await page.evaluate(`window.isOld = true, ${logOut}`)
        // Back from the issuer.
        const home = `location.href === '${gateway.url}/' && !window.isOld && ${isStyled}`
        await until(() => page.evaluate(home))
        expectStatus(await page.evaluate(call('/bff/user')), 401)
      },
    })
    await context.close()
    await gateway.close()
  }
  await splitHosts(browserName, await browser.createBrowserContext().then(openPages))
  await browser.close()
}
await issuer.close()
await stop(api)
process.exitCode = failed > 0 ? 1 : 0

/** As the SplitHosts sample of Duende BFF: links and scripts of a page that another server has. */
async function splitHosts(browserName: BrowserName, { newPage, faults }: ReturnType<typeof openPages>) {
  let html = ''
  const pages = createServer((_request, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(html),
  )
  const origin = `http://localhost:${await listen(pages, 0)}`
  issuer.allowGateway(origin)
  const gateway = await startGateway(issuer, { CORS_ORIGINS: origin, API_URL: apiUrl }, '', 'localhost')
  html = splitHostsPage(gateway.url, origin)
  const shows = (page: Page, text: string) =>
    until(async () => ((await page.evaluate('document.body.innerText')) as string).includes(text))
  await walk('SplitHosts', browserName, faults, await newPage(), {
    page: async (page) => {
      await page.goto(origin)
      await shows(page, 'Not signed in')
    },
    login: async (page) => {
      await page.evaluate(`document.querySelector('#login').click()`)
      await fillIn(page)
      await shows(page, 'Alice Example')
      if (new URL(page.url()).origin !== origin) throw new Error(page.url())
    },
    api: async (page) => {
      for (const method of ['GET', 'POST', 'DELETE'])
        expectStatus(await page.evaluate(`todos('${method}')`), 200)
    },
    logout: async (page) => {
      await page.evaluate(`document.querySelector('#logout').click()`)
      await shows(page, 'Not signed in')
      if (new URL(page.url()).origin !== origin) throw new Error(page.url())
    },
  })
  await gateway.close()
  await stop(pages)
}

/** Prints a line of the table. */
async function walk(
  name: string,
  browserName: BrowserName,
  faults: string[],
  page: Page,
  steps: Record<string, (page: Page) => Promise<unknown>>,
): Promise<void> {
  const outcomes: string[] = []
  for (const [step, act] of Object.entries(steps)) {
    try {
      await act(page)
      outcomes.push(`${step} ok`)
    } catch (error) {
      outcomes.push(`${step} FAILED: ${error instanceof Error ? error.message : error}`)
      failed++
      break
    }
  }
  // Of calls without a session, on purpose.
  const others = faults.filter((fault) => !/\b401\b/.test(fault))
  failed += others.length
  outcomes.push(others.length === 0 ? 'console ok' : `console: ${others.join(' | ')}`)
  console.log(`${name.padEnd(12)} ${browserName.padEnd(8)} ${outcomes.join(', ')}`)
}

function expectStatus(status: unknown, expected: number): void {
  if (status !== expected) throw new Error(`answered ${status}`)
}

function call(path: string): string {
  return `fetch('${path}', { headers: { 'x-csrf': '1' } }).then(({ status }) => status)`
}
