import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseEnv } from 'node:util'
import { parse } from 'yaml'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { freePort } from '../support/free-port.ts'
import { startGateway } from '../support/gateway-process.ts'
import { temporaryFile } from '../support/temporary-file.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(resolve(root, path), 'utf8')
const settings = parseEnv(read('deploy/demo.env')) as Record<string, string>
const { services } = parse(read('compose.yaml'))

test('the try-out of compose.yaml works: a login, the page and its client, calls of the API, a logout', async (t) => {
  const ports = { issuer: await freePort(), api: await freePort(), files: await freePort() }
  const port = String(await freePort())
  const url = `http://localhost:${port}`
  await startDemoContainer(t, { publicUrl: url, ...ports })
  const {
    OIDC_INTERNAL_URL: internal = '',
    CONFIG_FILE: configFile = '',
    STATIC_DIR: staticDir = '',
  } = settings
  const here = (text: string) =>
    text
      .replaceAll('//demo:4000', `//127.0.0.1:${ports.issuer}`)
      .replaceAll('//demo:5000', `//127.0.0.1:${ports.api}`)
      .replaceAll('//demo:5001', `//127.0.0.1:${ports.files}`)
  const mounted = (path: string) => path.replace('/files', resolve(root, settings['FILES_DIR'] ?? ''))
  await startGateway(t, {
    issuer: { issuer: '', clientId: '', clientSecret: '', allowGateway() {} },
    apiUrl: '',
    env: {
      ...settings,
      PORT: port,
      PUBLIC_URL: url,
      OIDC_ISSUER: `http://localhost:${ports.issuer}`,
      OIDC_INTERNAL_URL: here(internal),
      CONFIG_FILE: temporaryFile(t, here(readFileSync(mounted(configFile), 'utf8'))),
      STATIC_DIR: mounted(staticDir),
    },
  })
  const browser = createHttpBrowser()
  const call = (path: string) => browser.fetch(url + path, { headers: { 'x-csrf': '1' } })

  const page = await browser.signIn(url, 'alice')
  assert.equal(page.status, 200)
  assert.match(page.body, /<title>/)
  assert.equal(((await call('/api/gettime')).json() as { user: string }).user, 'alice')
  assert.equal((await call('/local/greeting')).status, 200)
  const client = await browser.fetch(`${url}/client/index.ts`)
  assert.deepEqual([client.status, client.headers.get('content-type')], [200, 'text/javascript'])

  await browser.signOut(url)
  assert.equal((await call('/api/gettime')).status, 401)
})

test("the try-out's settings name services, ports and stages that exist, on this machine only", () => {
  const { demo, 'load-balancer': balancer } = services
  assert.deepEqual(demo.profiles, ['demo'])
  assert.ok(read('Dockerfile').includes(`AS ${demo.build.target}\n`))
  for (const port of ['4000', '5000', '5001'])
    assert.match(read('Dockerfile'), new RegExp(`^EXPOSE .*\\b${port}`, 'm'))
  assert.deepEqual(demo.ports, ['127.0.0.1:4000:4000'])
  assert.match(balancer.ports[0], /127\.0\.0\.1:8080\}:8080$/)
  assert.equal(demo.environment.INTERNAL_URL, 'http://load-balancer:8080')
  assert.equal(settings['PUBLIC_URL'], 'http://localhost:8080')
})

async function startDemoContainer(
  t: TestContext,
  { publicUrl, issuer, api, files }: { publicUrl: string; issuer: number; api: number; files: number },
): Promise<void> {
  const { PATH = '' } = process.env
  const child = spawn(process.execPath, ['demo/container.ts'], {
    cwd: root,
    env: {
      PATH,
      PUBLIC_URL: publicUrl,
      INTERNAL_URL: publicUrl,
      OIDC_CLIENT_SECRET: settings['OIDC_CLIENT_SECRET'],
      DEMO_IDP_PORT: String(issuer),
      DEMO_API_PORT: String(api),
      DEMO_FILES_PORT: String(files),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  t.after(async () => {
    child.kill()
    await closed
  })
  for await (const [text] of on(child.stdout, 'data', { close: ['end'] }))
    if (String(text).includes('The issuer is')) return
  assert.fail('It ended without listening')
}
