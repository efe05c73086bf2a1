import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type IncomingHeaders, responseHeaders } from '../../../plugins/upstream-proxy/response-headers.ts'

const rules = {
  prefix: '/api',
  target: new URL('https://api.example.com/v1'),
  cookies: { names: [] as string[], sessionCookie: '__Host-bff' },
}

function shown(incoming: IncomingHeaders, names: string[] = []) {
  const cookies = { ...rules.cookies, names }
  const { 'cache-control': _, ...headers } = responseHeaders(incoming, { ...rules, cookies })
  return headers
}

test('what the application reads is kept as it is', () => {
  const headers = {
    'content-type': 'application/json',
    'content-length': '7',
    'content-encoding': 'br',
    'content-range': 'bytes 0-6/100',
    'content-disposition': 'attachment; filename="\xc3\xa9"',
    etag: '"a"',
    'last-modified': 'Wed, 21 Oct 2026 07:28:00 GMT',
    vary: 'accept',
    'www-authenticate': 'Bearer error="invalid_token"',
    'retry-after': '7',
    link: ['<a>; rel=next', '<b>; rel=last'],
    'x-request-id': '7',
  }
  assert.deepEqual(shown(headers), headers)
})

const removed = {
  'what concerns one connection': [
    'connection',
    'keep-alive',
    'proxy-authenticate',
    'proxy-connection',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
  ],
  'what would steer browser and proxies past us': [
    'clear-site-data',
    'strict-transport-security',
    'alt-svc',
    'surrogate-control',
    'surrogate-key',
    'cdn-cache-control',
    'cloudflare-cdn-cache-control',
    'x-accel-redirect',
    'x-accel-expires',
    'x-sendfile',
  ],
  "another origin's CORS": [
    'access-control-allow-origin',
    'access-control-allow-credentials',
    'access-control-max-age',
  ],
}

for (const [what, names] of Object.entries(removed)) {
  for (const name of names)
    test(`removes ${what}: ${name}`, () => assert.deepEqual(shown({ [name]: 'x' }), {}))
}

test('the wish that a proxy in front buffers no stream goes on', () => {
  assert.deepEqual(shown({ 'x-accel-buffering': 'no' }), { 'x-accel-buffering': 'no' })
})

test('what Connection names ends here', () => {
  const headers = { connection: 'close, X-Internal', 'x-internal': '1', 'x-public': '2' }
  assert.deepEqual(shown(headers), { 'x-public': '2' })
})

test("the upstream's cookies stay away from the browser", () => {
  assert.deepEqual(shown({ 'set-cookie': 'theme=dark' }), {})
  assert.deepEqual(shown({ 'set-cookie': ['theme=dark', 'lang=en'] }), {})
})

test('a cookie that is allowed passes with its attributes, and no other', () => {
  const headers = {
    'set-cookie': [
      'theme=dark; Path=/; Secure',
      'Theme=dark',
      'themes=x',
      'theme',
      ' theme =light',
      '=theme=x',
    ],
  }
  assert.deepEqual(shown(headers, ['theme']), {
    'set-cookie': ['theme=dark; Path=/; Secure', 'theme', ' theme =light'],
  })
})

test("the gateway's own cookies are never set by an upstream, not even when they are allowed", () => {
  const names = ['__Host-bff', '__Host-bff-tx', '__Host-bff-tx-0123456789abcdef']
  const headers = { 'set-cookie': [...names.map((name) => `${name}=evil; Path=/; Secure`), 'theme=dark'] }
  assert.deepEqual(shown(headers, [...names, 'theme']), { 'set-cookie': ['theme=dark'] })
})

test('Connection can name Cache-Control, and nobody shares the answer for it', () => {
  const headers = responseHeaders({ connection: 'cache-control', 'cache-control': 'public' }, rules)
  assert.deepEqual(headers, { 'cache-control': 'private' })
})

test('caching is judged over all Cache-Control headers together', () => {
  const { 'cache-control': cacheControl } = responseHeaders(
    { 'cache-control': ['public', 'max-age=60, s-maxage=600'] },
    rules,
  )
  assert.equal(cacheControl, 'private, max-age=60')
})

for (const name of ['expires', 'pragma']) {
  test(`an answer that has ${name} alone is private`, () => {
    assert.deepEqual(responseHeaders({ [name]: 'x' }, rules), { [name]: 'x', 'cache-control': 'private' })
  })
}

test('an answer without a word on caching is not stored', () => {
  assert.deepEqual(responseHeaders({}, rules), { 'cache-control': 'no-store' })
})

test('a redirect below the target leads below the prefix', () => {
  assert.deepEqual(shown({ location: 'https://api.example.com/v1/x' }), { location: '/api/x' })
})

test('where headers are listed, others stay away from the browser', () => {
  const incoming = {
    etag: '"a"',
    server: 'x',
    'x-total': '7',
    'x-powered-by': 'y',
    'set-cookie': 'theme=dark',
  }
  const allowed = new Set(['etag', 'x-total'])
  assert.deepEqual(responseHeaders(incoming, { ...rules, allowed }), {
    etag: '"a"',
    'x-total': '7',
    'cache-control': 'no-store',
  })
})

test('what says how an answer is read, kept, used and where it leads passes unlisted', () => {
  const headers = {
    'content-type': 'text/plain',
    'content-length': '3',
    'content-encoding': 'gzip',
    'content-range': 'bytes 0-2/9',
    'content-disposition': 'attachment',
    'content-security-policy': "default-src 'none'",
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'permissions-policy': 'camera=()',
    expires: '0',
    pragma: 'no-cache',
    age: '1',
    date: 'Tue, 24 Nov 2026 18:00:00 GMT',
    vary: 'accept',
  }
  const incoming = { ...headers, location: '/v1/x', 'cache-control': 'public, max-age=1' }
  assert.deepEqual(responseHeaders(incoming, { ...rules, allowed: new Set() }), {
    ...headers,
    location: '/api/x',
    'cache-control': 'private, max-age=1',
  })
})

test('what is harmful for our origin never passes, listed or not', () => {
  const incoming = { 'clear-site-data': '"*"', 'x-accel-redirect': '/x', connection: 'x-a', 'x-a': '1' }
  assert.deepEqual(responseHeaders(incoming, { ...rules, allowed: new Set(Object.keys(incoming)) }), {
    'cache-control': 'no-store',
  })
})
