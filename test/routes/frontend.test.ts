import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { hashSource } from '../../http/html.ts'
import { assertError } from '../support/assert-error.ts'
import { setCookies } from '../support/inject-browser.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

const built = {
  'index.html': '<title>The app</title>',
  'favicon.ico': 'icon',
  'assets/app-1a2b.js': 'run()',
  'assets/style.css': 'body{}',
  'docs/index.html': '<title>The docs</title>',
  'assets/main.4f2a8c1e.js': 'main()',
  'assets/main.4f2a8c1e.js.br': 'compressed by brotli',
  'assets/main.4f2a8c1e.js.gz': 'compressed by gzip',
  'assets/index-BX3k9a1Z.css.gz': 'compressed by gzip',
  'assets/index-BX3k9a1Z.css': 'body{}',
  '.env': 'SECRET=1',
  '.git/config': 'SECRET=1',
  'assets/.hidden': 'SECRET=1',
}

/** A gateway with a built frontend, and a file beside its folder that must not be served. */
async function start(t: TestContext, env: Record<string, string> = {}, more: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontend-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const files = Object.entries({ ...built, ...more }).map(([path, text]) => [`dist/${path}`, text] as const)
  for (const [path, text] of [...files, ['outside.txt', 'SECRET=1'] as const]) {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  const { app } = await startInjectGateway(t, { env: { STATIC_DIR: join(folder, 'dist'), ...env } })
  const get = (url: string, headers: Record<string, string> = html) => app.inject({ url, headers })
  return { app, get }
}

test('files are served with their types', async (t) => {
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

test('a navigation to an unknown path gets index.html, another request for one is 404', async (t) => {
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

test('an unknown path below /bff is 404, never index.html', async (t) => {
  const { get, app } = await start(t)
  for (const url of ['/bff/unknown', '/bff/', '/bff/user/', '/bff/login/x', '/bff/%75nknown']) {
    assertError(await get(url), 404, 'BFF_NOT_FOUND')
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'] as const) {
      assertError(await app.inject({ method, url, headers: html }), 404, 'BFF_NOT_FOUND')
    }
  }
})

test('dot files and files outside the folder are not served', async (t) => {
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

test('files of .well-known are served, and none that is hidden elsewhere', async (t) => {
  const { get } = await start(
    t,
    {},
    {
      '.well-known/security.txt': 'Contact',
      '.well-known/apple-app-site-association': '{}',
      '.well-known/acme/token': 'token',
      '.well-known/.secret': 'SECRET=1',
      'docs/.well-known/security.txt': 'SECRET=1',
      '.well-known-too/x': 'SECRET=1',
      '.git/.well-known/x': 'SECRET=1',
    },
  )
  for (const headers of [html, { accept: '*/*' }]) {
    for (const [path, body] of [
      ['/.well-known/security.txt', 'Contact'],
      ['/.well-known/apple-app-site-association', '{}'],
      ['/.well-known/acme/token', 'token'],
    ] as const) {
      const answer = await get(path, headers)
      assert.deepEqual([answer.statusCode, answer.body], [200, body])
    }
    for (const path of [
      '/.well-known/.secret',
      '/docs/.well-known/security.txt',
      '/.well-known-too/x',
      '/.git/.well-known/x',
      '/.well-known/../.env',
      '/.well-known/%2e%2e/.env',
    ])
      assert.doesNotMatch((await get(path, headers)).body, /SECRET/, path)
  }
})

test('characters that mean something to the router name a file', async (t) => {
  const files = {
    'assets/a*b.js': 'star',
    'assets/*': 'only a star',
    'assets/c:d.js': 'colon',
    'e*/f.js': 'folder',
    '[...slug]-x.js': 'brackets',
    'g h%.js': 'space',
  }
  const { get } = await start(t, {}, { ...files, '.h*': 'SECRET=1', '.i/j*': 'SECRET=1' })
  for (const [path, body] of Object.entries(files)) {
    const url = `/${path.split('/').map(encodeURIComponent).join('/')}`
    const answer = await get(url, { accept: '*/*' })
    assert.deepEqual(
      [answer.statusCode, answer.body, answer.headers['cache-control']],
      [200, body, 'no-cache'],
      url,
    )
  }
  for (const path of ['/assets/cXd.js', '/assets/axb.js', '/assets/anything', '/e/f.js', '/.h*', '/.i/j*'])
    assertError(await get(path, { accept: '*/*' }), 404, 'BFF_NOT_FOUND')
})

test('the page of an Angular application with SSR is index.csr.html, its start page may be another', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontend-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'index.csr.html'), '<title>The app</title>')
  const { app } = await startInjectGateway(t, { env: { STATIC_DIR: folder } })
  for (const url of ['/', '/orders', '/index.csr.html'])
    assert.equal((await app.inject({ url, headers: html })).body, '<title>The app</title>', url)

  const { get } = await start(t, {}, { 'index.csr.html': 'any page' })
  assert.deepEqual([(await get('/')).body, (await get('/orders')).body], [built['index.html'], 'any page'])
})

test('a page may be cached, but is revalidated each time', async (t) => {
  const { get } = await start(t)
  for (const url of ['/', '/index.html', '/orders', '/docs/']) {
    assert.equal((await get(url)).headers['cache-control'], 'no-cache')
  }
  const { etag } = (await get('/')).headers
  assert.equal((await get('/', { ...html, 'if-none-match': String(etag) })).statusCode, 304)
})

test('a file with a hash in its name is immutable, any other is revalidated', async (t) => {
  const { get } = await start(t)
  const kept = 'public, max-age=31536000, immutable'
  for (const url of ['/assets/main.4f2a8c1e.js', '/assets/index-BX3k9a1Z.css?v=1']) {
    assert.equal((await get(url)).headers['cache-control'], kept, url)
  }
  for (const url of ['/favicon.ico', '/assets/app-1a2b.js', '/assets/style.css']) {
    assert.equal((await get(url)).headers['cache-control'], 'no-cache', url)
  }
})

test('conditional requests get 304, and range requests 206', async (t) => {
  const { get } = await start(t)
  for (const url of ['/assets/main.4f2a8c1e.js', '/assets/style.css', '/']) {
    const { etag, 'last-modified': lastModified } = (await get(url)).headers
    for (const headers of [
      { 'if-none-match': String(etag) },
      { 'if-modified-since': String(lastModified) },
    ]) {
      const answer = await get(url, { ...html, ...headers })
      assert.deepEqual([answer.statusCode, answer.body], [304, ''])
    }
    const changed = await get(url, { ...html, 'if-none-match': '"another"' })
    assert.equal(changed.statusCode, 200)
  }
  const part = await get('/assets/style.css', { range: 'bytes=0-3' })
  assert.deepEqual([part.statusCode, part.body], [206, 'body'])
  assert.equal(part.headers['content-range'], 'bytes 0-3/6')
  const beyond = await get('/assets/style.css', { range: 'bytes=9-' })
  assert.deepEqual([beyond.statusCode, beyond.headers['content-range']], [416, 'bytes */6'])
  assert.equal((await get('/assets/style.css', { 'if-match': '"another"' })).statusCode, 412)
})

test('a compressed copy beside a file is sent to clients that accept it', async (t) => {
  const { get } = await start(t)
  const script = '/assets/main.4f2a8c1e.js'
  const expected: [url: string, accepted: string | undefined, encoding: string | undefined, body: string][] =
    [
      [script, 'gzip, deflate, br', 'br', 'compressed by brotli'],
      [script, 'gzip', 'gzip', 'compressed by gzip'],
      [script, 'br;q=0, gzip', 'gzip', 'compressed by gzip'],
      [script, 'identity', undefined, 'main()'],
      [script, undefined, undefined, 'main()'],
      ['/assets/index-BX3k9a1Z.css', 'gzip, br', 'gzip', 'compressed by gzip'],
      ['/assets/style.css', 'gzip, br', undefined, 'body{}'],
    ]
  for (const [url, accepted, encoding, body] of expected) {
    const {
      statusCode,
      headers,
      body: sent,
    } = await get(url, accepted ? { 'accept-encoding': accepted } : {})
    assert.deepEqual(
      [statusCode, headers['content-encoding'], sent],
      [200, encoding, body],
      `${url} ${accepted}`,
    )
    assert.match(String(headers['content-type']), url.endsWith('.js') ? /javascript/ : /^text\/css/)
    assert.match(String(headers.vary), /accept-encoding/i)
    const kept = url === '/assets/style.css' ? 'no-cache' : 'public, max-age=31536000, immutable'
    assert.equal(headers['cache-control'], kept)
  }
})

test('a compressed index.html is sent for every page of the app', async (t) => {
  const { get } = await start(
    t,
    {},
    { 'index.html.br': 'the app by brotli', 'index.html.gz': 'the app by gzip' },
  )
  for (const url of ['/', '/index.html', '/orders', '/orders/7?tab=items']) {
    for (const [accepted, encoding, body] of [
      ['gzip, br', 'br', 'the app by brotli'],
      ['gzip', 'gzip', 'the app by gzip'],
      ['identity', undefined, built['index.html']],
    ] as const) {
      const answer = await get(url, { ...html, 'accept-encoding': accepted })
      assert.deepEqual(
        [answer.headers['content-encoding'], answer.body],
        [encoding, body],
        `${url} ${accepted}`,
      )
      assert.match(String(answer.headers['content-type']), /^text\/html/)
      assert.match(String(answer.headers.vary), /accept-encoding/i)
      assert.equal(answer.headers['cache-control'], 'no-cache')
    }
  }
})

test('files set no cookie, not even one that is due to be sealed with a new key', async (t) => {
  const [old, fresh] = [newKey(), newKey()]
  const gateway = await startInjectGateway(t, { env: { SESSION_KEYS: old } })
  const browser = gateway.newBrowser()
  await browser.signIn()
  const { app } = await start(t, { SESSION_KEYS: `${fresh},${old}` })
  const cookie = browser.cookies.headerFor(gateway.publicUrl) ?? ''
  const headers = { cookie, 'x-csrf': '1', ...html }

  assert.equal(setCookies(await app.inject({ url: '/bff/session', headers })).length, 1)
  for (const url of ['/', '/orders', '/assets/main.4f2a8c1e.js', '/assets/style.css']) {
    assert.deepEqual(setCookies(await app.inject({ url, headers })), [], url)
  }
})

test("a page's own inline code is allowed by its hash, also when the file changes, and no other file's", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontend-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  write('index.html', '<script>one()</script><body onload="two()">')
  write('index.html.gz', 'compressed')
  write('other.html', '<script>three()</script>')
  write('app.js', 'run()')
  const env = { STATIC_DIR: folder, FRONTEND_CSP: "script-src 'wasm-unsafe-eval'; worker-src blob:" }
  const { app } = await startInjectGateway(t, { env })
  const policyOf = async (url: string, more = {}) =>
    String((await app.inject({ url, headers: { ...html, ...more } })).headers['content-security-policy'])
  const widened = "script-src 'self' 'wasm-unsafe-eval'"

  for (const url of ['/', '/index.html', '/orders']) {
    for (const encoding of [{}, { 'accept-encoding': 'gzip' }]) {
      const policy = await policyOf(url, encoding)
      assert.ok(policy.includes(`${widened} ${hashSource('one()')};`), policy)
      assert.ok(policy.includes(`script-src-attr 'unsafe-hashes' ${hashSource('two()')};`), policy)
      assert.ok(policy.includes("worker-src 'self' 'wasm-unsafe-eval' blob:"), policy)
    }
  }
  assert.ok(
    (await policyOf('/other.html')).includes(`${widened} ${hashSource('three()')};script-src-attr 'none'`),
  )
  assert.ok((await policyOf('/app.js')).includes(`${widened};script-src-attr 'none'`))

  write('index.html', '<script>another()</script>')
  assert.ok((await policyOf('/')).includes(`${widened} ${hashSource('another()')};script-src-attr 'none'`))
})

test('a page that others may frame says so in one way only', async (t) => {
  const { get } = await start(t, { FRONTEND_CSP: 'frame-ancestors https://portal.example.com' })
  const { headers } = await get('/')
  assert.match(String(headers['content-security-policy']), /;frame-ancestors 'self' https:\/\/portal/)
  assert.equal(headers['x-frame-options'], undefined)
  assert.equal((await (await start(t)).get('/')).headers['x-frame-options'], 'SAMEORIGIN')
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
