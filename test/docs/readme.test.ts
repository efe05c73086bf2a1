import assert from 'node:assert/strict'
import { execSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { rootCertificates } from 'node:tls'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../app.ts'
import { loadConfig } from '../../config/index.ts'
import { type ErrorCode, GatewayError } from '../../plugins/errors/catalogue.ts'
import { type InjectGateway, startInjectGateway } from '../support/inject-gateway.ts'
import { load, loadFile, minimal, upstreamKeys } from '../unit/config/support.ts'
import { codeBlocks, codeSpans, tableRows } from './markdown.ts'

const root = resolve(import.meta.dirname, '../..')
const readme = read('README.md')

const endpointHeader = '| Endpoint | Header | Does |'
const errorHeader = '| Status | `code` | When |'
const upstreamHeader = '| Key | Default | Meaning |'

test('the demo is within the first twenty lines', () => {
  const beginning = readme.split('\n').slice(0, 20).join('\n')

  for (const text of [
    'npm ci && npm run demo',
    'http://localhost:3000',
    '`alice`',
    '`bob`',
    'npm run demo -- --check',
  ])
    assert.ok(beginning.includes(text), text)
})

test('the example of a configuration file is accepted, with the described meaning', () => {
  const example = codeBlocks(readme, 'json').find((text) => text.includes('"upstreams"'))
  const authority = rootCertificates[0] ?? ''

  const { options, warnings } = loadFile(
    example,
    {
      NODE_ENV: 'production',
      REDIS_URL: 'rediss://redis',
      OIDC_ISSUER: '',
      OIDC_CLIENT_ID: '',
      OIDC_CLIENT_SECRET: 'hunter2',
    },
    { '/etc/bff/internal-ca.pem': authority },
  )

  assert.deepEqual(warnings, [])
  assert.equal(options.oidc.clientId, 'gateway')
  assert.equal(options.oidc.scope, 'openid profile offline_access')
  const upstreams = options.upstreams.map(({ prefix, token, ca, timeoutMs }) => ({
    prefix,
    token,
    ca,
    timeoutMs,
  }))
  assert.deepEqual(upstreams, [
    { prefix: '/api', token: 'user', ca: undefined, timeoutMs: 30_000 },
    { prefix: '/reports', token: 'user', ca: authority, timeoutMs: 120_000 },
    { prefix: '/files', token: 'user', ca: undefined, timeoutMs: 30_000 },
    { prefix: '/news', token: 'none', ca: undefined, timeoutMs: 30_000 },
    { prefix: '/orders', token: 'user', ca: undefined, timeoutMs: 30_000 },
    { prefix: '/search', token: 'user-or-client', ca: undefined, timeoutMs: 30_000 },
  ])
})

test('the example of TLS makes a certificate that the gateway accepts', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-readme-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const example = codeBlocks(read('docs/production.md'), 'sh').find((text) => text.includes('TLS_CERT_FILE'))
  const [makeCertificate = '', start = ''] = example?.split('\n') ?? []

  execSync(makeCertificate, { cwd: folder, stdio: 'pipe' })
  const variables = [...start.matchAll(/(TLS_\w+)=(\S+)/g)].map(([, name, file = '']) => [
    name,
    join(folder, file),
  ])
  const { options, warnings } = loadConfig({ ...minimal, ...Object.fromEntries(variables) })

  assert.deepEqual(warnings, [])
  assert.deepEqual(options.tls, { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') })
})

test('the example of several frontends is accepted', () => {
  const example = codeBlocks(read('docs/several-frontends.md'), 'json')[0]
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = String(privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const files = { '/etc/bff/shop-key.pem': key, '/etc/bff/desk-key.pem': key, '/etc/bff/shop/index.html': '' }

  const { frontends, warnings } = loadFile(example, { NODE_ENV: 'production' }, files)
  assert.deepEqual(warnings, [])
  assert.deepEqual(
    frontends?.map(({ publicUrl, oidc }) => [publicUrl.href, oidc.clientId]),
    [
      ['https://shop.example.com/', 'shop'],
      ['https://staff.example.com/desk', 'desk'],
    ],
  )
})

test('the table of an upstream has a row for each of its keys', () => {
  const keys = tableRows(read('docs/upstreams.md'), upstreamHeader).map(([key = '']) => codeSpans(key)[0])
  assert.deepEqual(keys.toSorted(), upstreamKeys.toSorted())
})

test('the table of errors has a row for each code, with its status', () => {
  const known = [...read('plugins/errors/catalogue.ts').matchAll(/^ {2}(BFF_\w+): \{/gm)].map(
    ([, code]) => code,
  )
  const rows = tableRows(readme, errorHeader).map(([status, code = '']) => ({
    status,
    code: codeSpans(code)[0],
  }))

  assert.deepEqual(rows.map(({ code }) => code).toSorted(), known.toSorted())
  for (const { status, code } of rows)
    assert.equal(status, String(new GatewayError(code as ErrorCode).statusCode), code)
})

test('every endpoint of the table exists', async (t) => {
  const { app } = await gateway(t)
  const endpoints = documentedEndpoints()

  assert.ok(endpoints.length >= 9)
  for (const { method, url, needsHeader } of endpoints) {
    const answer = await app.inject({ method, url, headers: needsHeader ? { 'x-csrf': '1' } : {} })
    assert.notEqual(answer.statusCode, 404, `${method} ${url}`)
    assert.notEqual(answer.statusCode, 403, `${method} ${url}`)
  }
})

test('exactly the endpoints marked in the table refuse requests without the CSRF header', async (t) => {
  const { app } = await gateway(t)

  for (const { method, url, needsHeader } of documentedEndpoints()) {
    const { statusCode } = await app.inject({ method, url })
    assert.equal(statusCode === 403, needsHeader, `${method} ${url} answered ${statusCode}`)
  }
})

test('the table has every endpoint of the gateway', async (t) => {
  const { options } = load()
  const app = buildApp({ ...options, logLevel: 'silent' })
  t.after(() => app.close())
  const routes = routesOf(app)
  await app.ready()

  const documented = new Set(documentedEndpoints().map(({ method, url }) => `${method} ${url}`))
  assert.ok(routes.length >= documented.size)
  assert.deepEqual(
    routes.filter((route) => !route.includes('*') && !documented.has(route)),
    [],
  )
})

test('the examples of answers have the same members as real ones', async (t) => {
  const { app, newBrowser } = await gateway(t)
  const [view, error] = codeBlocks(readme, 'json')

  const anonymous = await app.inject({ url: '/api/orders', headers: { 'x-csrf': '1' } })
  assert.deepEqual(JSON.parse(error ?? ''), {
    ...anonymous.json(),
    requestId: JSON.parse(error ?? '').requestId,
  })

  const browser = newBrowser()
  await browser.signIn()
  const { claims: _, ...real } = (await browser.call('/bff/session')).json()
  const { claims: __, ...shown } = JSON.parse(view ?? '')
  assert.deepEqual(shape(shown), shape(real))
})

test('the example of local routes serves signed-in users', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-readme-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const code = codeBlocks(readme, 'ts').find((text) => text.includes('localRoutes')) ?? ''
  writeFileSync(join(folder, 'local-routes.ts'), code)
  const { localRoutes } = await import(pathToFileURL(join(folder, 'local-routes.ts')).href)
  const { newBrowser } = await gateway(t, { localRoutes })
  const browser = newBrowser()

  assert.equal((await browser.call('/local/profile')).json().code, 'BFF_SESSION_REQUIRED')
  await browser.signIn()
  assert.deepEqual((await browser.call('/local/profile')).json(), { subject: 'alice', mayCallApis: true })
})

/** With an upstream at `/api` that is never called. */
function gateway(t: TestContext, extras = {}): Promise<InjectGateway> {
  const env = { PUBLIC_URL: 'https://app.example.com', API_URL: 'https://api.example.com' }
  return startInjectGateway(t, { env, extras })
}

interface Endpoint {
  method: 'GET' | 'POST'
  url: string
  needsHeader: boolean
}

function documentedEndpoints(): Endpoint[] {
  return tableRows(readme, endpointHeader).flatMap(([endpoints = '', header]) =>
    codeSpans(endpoints).map((endpoint): Endpoint => {
      const [url = '', method = 'GET'] = endpoint.split(' ').reverse()
      return {
        method: method as Endpoint['method'],
        url: url.replace('*', 'orders'),
        needsHeader: header === 'yes',
      }
    }),
  )
}

/** Filled while the plugins are loaded. */
function routesOf(app: FastifyInstance): string[] {
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat())
      if (name !== 'HEAD' && name !== 'OPTIONS') routes.push(`${name} ${url}`)
  })
  return routes
}

/** Names of members, at all depths. */
function shape(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return null
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shape(member)]))
}

function read(path: string): string {
  return readFileSync(resolve(root, path), 'utf8')
}
