import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { assertError } from '../support/assert-error.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

const built = {
  'index.html': '<title>The app</title>',
  'favicon.ico': 'icon',
  'assets/app-1a2b.js': 'run()',
  'assets/style.css': 'body{}',
  'docs/index.html': '<title>The docs</title>',
  '.env': 'SECRET=1',
  '.git/config': 'SECRET=1',
  'assets/.hidden': 'SECRET=1',
}

/** A gateway with a built frontend, and something beside it that is nobody's business. */
async function start(t: TestContext, env: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontend-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const files = Object.entries(built).map(([path, text]) => [`dist/${path}`, text] as const)
  for (const [path, text] of [...files, ['outside.txt', 'SECRET=1'] as const]) {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  const { app } = await startInjectGateway(t, { env: { STATIC_DIR: join(folder, 'dist'), ...env } })
  const get = (url: string, headers: Record<string, string> = html) => app.inject({ url, headers })
  return { app, get }
}

test('its files are served with their types', async (t) => {
  const { get } = await start(t)
  const files: [url: string, type: RegExp, body: string][] = [
    ['/', /^text\/html/, built['index.html']],
    ['/index.html', /^text\/html/, built['index.html']],
    ['/assets/app-1a2b.js', /javascript/, 'run()'],
    ['/assets/app-1a2b.js?v=1', /javascript/, 'run()'],
    ['/assets/style.css', /^text\/css/, 'body{}'],
    ['/docs/', /^text\/html/, built['docs/index.html']],
  ]
  for (const [url, type, body] of files) {
    const response = await get(url)
    assert.equal(response.statusCode, 200, url)
    assert.match(String(response.headers['content-type']), type)
    assert.equal(response.body, body)
  }
})

test('a page of the app that is no file gets the app, anything else that is none is not found', async (t) => {
  const { get, app } = await start(t)
  for (const url of ['/orders', '/orders/7?tab=items', '/orders/a%2Fb', '/assets/gone']) {
    const response = await get(url)
    assert.equal(response.statusCode, 200, url)
    assert.equal(response.body, built['index.html'])
    assertError(await get(url, { accept: '*/*' }), 404, 'BFF_NOT_FOUND')
    assertError(await get(url, {}), 404, 'BFF_NOT_FOUND')
    const posted = await app.inject({ method: 'POST', url, headers: html, payload: {} })
    assertError(posted, 404, 'BFF_NOT_FOUND')
  }
})

test('a mistyped endpoint is not found, never the app', async (t) => {
  const { get, app } = await start(t)
  for (const url of ['/bff/unknown', '/bff/', '/bff/user/', '/bff/login/x', '/bff/%75nknown']) {
    assertError(await get(url), 404, 'BFF_NOT_FOUND')
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'] as const) {
      assertError(await app.inject({ method, url, headers: html }), 404, 'BFF_NOT_FOUND')
    }
  }
})

test('what begins with a dot and what lies outside the folder is not served', async (t) => {
  const { get } = await start(t)
  const paths = [
    '/.env',
    '/.git/config',
    '/assets/.hidden',
    '/%2eenv',
    '/../outside.txt',
    '/..%2foutside.txt',
    '/%2e%2e/outside.txt',
    '/%2e%2e%2foutside.txt',
    '/assets/../../outside.txt',
    '/assets/..%2f..%2foutside.txt',
    '/..%5coutside.txt',
    '/..\\outside.txt',
    '//outside.txt',
    '/assets/%00../outside.txt',
    '/index.html%00.env',
  ]
  for (const path of paths) {
    for (const headers of [html, { accept: '*/*' }]) {
      const response = await get(path, headers)
      assert.ok(response.statusCode < 500, path)
      assert.doesNotMatch(response.body, /SECRET/, path)
    }
  }
})

test('a page may be kept, but is asked for again each time', async (t) => {
  const { get } = await start(t)
  for (const url of ['/', '/index.html', '/orders', '/docs/']) {
    assert.equal((await get(url)).headers['cache-control'], 'no-cache')
  }
  const { etag } = (await get('/')).headers
  assert.equal((await get('/', { ...html, 'if-none-match': String(etag) })).statusCode, 304)
})

test('pages carry headers that keep foreign scripts and frames out', async (t) => {
  const { get } = await start(t, { PUBLIC_URL: 'https://app.example.com' })
  for (const url of ['/', '/orders', '/assets/app-1a2b.js']) {
    const { headers } = await get(url)
    const policy = String(headers['content-security-policy'])
    assert.match(policy, /(^|;)default-src 'self'/)
    assert.match(policy, /(^|;)script-src 'self'(;|$)/)
    assert.match(policy, /(^|;)frame-ancestors 'self'/)
    assert.match(policy, /(^|;)object-src 'none'/)
    assert.match(policy, /(^|;)base-uri 'self'/)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['referrer-policy'], 'same-origin')
    assert.match(String(headers['strict-transport-security']), /^max-age=\d{7,}/)
  }
})

test('on plain http a page does not ask for https', async (t) => {
  const { get } = await start(t)
  const { headers } = await get('/')
  assert.equal(headers['strict-transport-security'], undefined)
  assert.doesNotMatch(String(headers['content-security-policy']), /upgrade-insecure-requests/)
})

test('below a base path the frontend is below it too', async (t) => {
  const { get } = await start(t, { PUBLIC_URL: 'https://app.example.com/shop' })
  for (const url of ['/shop/', '/shop', '/shop?from=mail', '/shop/orders'])
    assert.equal((await get(url)).body, built['index.html'])
  assert.equal((await get('/shop/assets/style.css')).body, 'body{}')
  assertError(await get('/shop/bff/unknown'), 404, 'BFF_NOT_FOUND')
})

test('without a frontend every unknown path is not found, also for a browser', async (t) => {
  const { app } = await startInjectGateway(t)
  for (const url of ['/', '/orders', '/bff', '/.env']) {
    assertError(await app.inject({ url, headers: html }), 404, 'BFF_NOT_FOUND')
  }
})
