import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, type TestContext, test } from 'node:test'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { startTimeApi, type TimeApi } from '../../demo/time-api.ts'
import { codeBlocks } from '../docs/markdown.ts'
import { freePort } from '../support/free-port.ts'
import { newKey } from '../support/inject-gateway.ts'

const root = resolve(import.meta.dirname, '../..')
const compiler = join(root, 'node_modules/typescript/bin/tsc')
const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-package-'))
const application = join(folder, 'own-app')
let packed: string[] = []

// As published: packed from a clean clone, then installed without the repository's dependencies.
before(async () => {
  const source = join(folder, 'source')
  const notInAClone = ['node_modules', 'dist', '.git', 'coverage'].map((name) => join(root, name))
  cpSync(root, source, { recursive: true, filter: (path) => !notInAClone.includes(path) })
  symlinkSync(join(root, 'node_modules'), join(source, 'node_modules'))
  const [tarball] = JSON.parse(await npm(source, 'pack', '--json', '--foreground-scripts=false')) as [
    { filename: string; files: { path: string }[] },
  ]
  packed = tarball.files.map(({ path }) => path)

  cpSync(join(root, 'examples/own-app'), application, {
    recursive: true,
    filter: (path) => !path.includes('node_modules'),
  })
  const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--omit=dev']
  await npm(application, 'install', ...quietly, join(source, tarball.filename))
})

after(() => rmSync(folder, { recursive: true, force: true }))

test('the package of a clean clone has the built gateway, its types and its documents', () => {
  for (const path of [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'SECURITY.md',
    'fastify-bff.schema.json',
    'docs/production.md',
    'deploy/haproxy.cfg',
    'dist/client/index.js',
    'dist/client/index.d.ts',
    'dist/client/react.js',
    'dist/app.js',
    'dist/app.d.ts',
    'dist/server.js',
  ])
    assert.ok(packed.includes(path), path)
  const others = packed.filter((path) => !/^dist\/.+\.(js|d\.ts)$/.test(path) && path.startsWith('dist/'))
  assert.deepEqual(others, [])
  assert.deepEqual(
    packed.filter((path) => /^(dist\/)?(test|demo|bench|examples)\//.test(path)),
    [],
  )
})

test("an application and the README's example compile against the types, which reject wrong options and show nothing internal", async () => {
  const slips = [
    `import Fastify from 'fastify'`,
    `import bff, { buildApp, GatewayError, type BffOptions } from 'fastify-bff'`,
    `const app = Fastify()`,
    `declare const options: BffOptions`,
    `void app.register(bff, options)`,
    '// @ts-expect-error: no unit',
    `void app.register(bff, { ...options, refreshBeforeExpiration: '15' })`,
    '// @ts-expect-error: how the gateway does it is its own business',
    'void app.sessionStore',
    '// @ts-expect-error: likewise',
    'void app.userTokens',
    `app.get('/s', async ({ session }) => session?.subject)`,
    '// @ts-expect-error: nor does the session hold tokens',
    `app.get('/t', async ({ session }) => session?.record)`,
    '// @ts-expect-error: an access token is no member',
    `app.get('/', async (request): Promise<string> => request.accessToken)`,
    'export { buildApp, GatewayError }',
  ]
  writeFileSync(join(application, 'slips.ts'), slips.join('\n'))
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const example = codeBlocks(readme, 'ts').find((text) => text.includes("from 'fastify-bff'"))
  writeFileSync(join(application, 'readme.ts'), example ?? assert.fail('no example in the README'))
  // Types of Node come from the repository, all others from the installed package.
  await run(application, compiler, '--typeRoots', join(root, 'node_modules/@types'))
  for (const file of ['slips.ts', 'readme.ts']) rmSync(join(application, file))
})

test("the package's command prints its usage", async () => {
  const usage = await run(application, join(application, 'node_modules/.bin/fastify-bff'), '--help')
  assert.match(usage, /^Usage: fastify-bff .*--check-config/)
})

test('users of the example sign in, and its routes use their token', async (t) => {
  const { url, api } = await startExample(t)
  const [alice, bob] = [createHttpBrowser(), createHttpBrowser()]
  const call = async (browser: typeof alice, path: string) =>
    (await browser.fetch(url + path, { headers: { 'x-csrf': '1' } })).json() as Record<string, unknown>

  assert.equal((await call(alice, '/me'))['code'], 'BFF_SESSION_REQUIRED')
  await alice.signIn(url, 'alice')
  await bob.signIn(url, 'bob')

  assert.equal((await call(alice, '/'))['hello'], 'Alice Example')
  assert.deepEqual(await call(alice, '/me'), { subject: 'alice', roles: ['editor'] })
  assert.deepEqual(await call(bob, '/me'), { subject: 'bob', roles: [] })
  assert.equal((await call(bob, '/appointment'))['where'], 'in the library')
  assert.deepEqual(
    api.requests.map(({ subject, status }) => ({ subject, status })),
    [{ subject: 'bob', status: 200 }],
  )
  assert.equal(typeof (await call(alice, '/token-age'))['seconds'], 'number')
  const withoutHeader = await alice.fetch(`${url}/me`)
  assert.equal(withoutHeader.status, 403)

  await alice.signOut(url)
  assert.equal((await call(alice, '/me'))['code'], 'BFF_SESSION_REQUIRED')
  assert.deepEqual(await call(bob, '/me'), { subject: 'bob', roles: [] })
})

/** The example as a process of its own, with a real issuer and API. */
async function startExample(t: TestContext): Promise<{ url: string; issuer: DemoIssuer; api: TimeApi }> {
  const audience = 'urn:own-app:api'
  const port = await freePort()
  const url = `http://localhost:${port}`
  const issuer = await startIssuer({ publicUrls: [url], apiAudience: audience })
  t.after(() => issuer.close())
  const api = await startTimeApi({ issuer: issuer.issuer, audience })
  t.after(() => api.close())

  const server = start(application, 'server.ts', [], {
    PORT: String(port),
    PUBLIC_URL: url,
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    SESSION_KEYS: newKey(),
    API_URL: api.url,
  })
  t.after(async () => {
    server.kill('SIGKILL')
    await once(server, 'close')
  })
  await listening(server)
  return { url, issuer, api }
}

async function listening(server: ChildProcess): Promise<void> {
  assert.ok(server.stdout)
  const output: string[] = []
  const close = new AbortController()
  server.once('close', () => close.abort(new Error(`It ended:\n${output.join('\n')}`)))
  for await (const [line] of on(createInterface({ input: server.stdout }), 'line', {
    signal: close.signal,
  })) {
    output.push(line)
    if (line.includes('Server listening')) break
  }
  server.stdout.resume()
}

function npm(cwd: string, ...args: string[]): Promise<string> {
  return finished(spawn('npm', args, { cwd, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] }))
}

function run(cwd: string, script: string, ...args: string[]): Promise<string> {
  return finished(start(cwd, script, args))
}

function start(cwd: string, script: string, args: string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [script, ...args], {
    cwd,
    env: { ...environment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** With this Node first on PATH, and without the variables of the tests. */
function environment(): NodeJS.ProcessEnv {
  const { PATH = '', HOME } = process.env
  const registry = Object.entries(process.env).filter(([name]) => /^npm_config_/i.test(name))
  return { ...Object.fromEntries(registry), HOME, PATH: dirname(process.execPath) + delimiter + PATH }
}

async function finished(child: ChildProcess): Promise<string> {
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (text) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text) => (stderr += text))
  const [code] = await once(child, 'close')
  assert.equal(code, 0, stdout + stderr)
  return stdout
}
