import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type IncomingHeaders,
  type ResponseHeaderRules,
  responseHeaders,
} from '../../../plugins/upstream/response-headers.ts'

const rules: ResponseHeaderRules = {
  prefix: '/api',
  target: new URL('https://api.example.com/v1'),
  publicOrigin: 'https://app.example.com',
  allowed: new Set(),
  cookies: { names: [], sessionCookies: ['__Host-bff'] },
  perUser: false,
}

function shown(incoming: IncomingHeaders, names: string[] = []) {
  const cookies = { ...rules.cookies, names }
  const { 'cache-control': _, ...headers } = responseHeaders(incoming, { ...rules, cookies })
  return headers
}

test('headers that the application reads pass unchanged', () => {
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
  'hop-by-hop headers': [
    'connection',
    'keep-alive',
    'proxy-authenticate',
    'proxy-connection',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
  ],
  'headers that would steer the browser or proxies': [
    'clear-site-data',
    'strict-transport-security',
    'alt-svc',
    'surrogate-control',
    'surrogate-key',
    'cdn-cache-control',
    'cloudflare-cdn-cache-control',
    'x-accel-redirect',
    'x-accel-expires',
    'x-accel-buffering',
    'x-sendfile',
    'edge-control',
    'cache-tag',
    'x-litespeed-cache-control',
    'proxy-status',
    'nel',
    'report-to',
    'reporting-endpoints',
    'service-worker-allowed',
    'origin-agent-cluster',
    'accept-ch',
    'critical-ch',
    'public-key-pins',
    'set-login',
    'use-as-dictionary',
    'speculation-rules',
    'attribution-reporting-register-source',
    'refresh',
  ],
  'headers that the gateway sets itself': [
    'bff-login-url',
    'secure-session-registration',
    'sec-session-challenge',
  ],
  "another origin's CORS": [
    'access-control-allow-origin',
    'access-control-allow-credentials',
    'access-control-max-age',
    'timing-allow-origin',
  ],
}

for (const [what, names] of Object.entries(removed)) {
  for (const name of names)
    test(`removes ${what}, listed or not: ${name}`, () => {
      assert.deepEqual(shown({ [name]: 'x' }), {})
      const allowed = new Set([name])
      assert.deepEqual(responseHeaders({ [name]: 'x' }, { ...rules, allowed }), {
        'cache-control': 'no-store',
      })
      assert.deepEqual(responseHeaders({ [name]: 'x' }, { ...rules, allowed: 'all' }), {
        'cache-control': 'no-store',
      })
    })
}

test('headers named in Connection are removed', () => {
  const headers = { connection: 'close, X-Request-Id, Content-Length', 'x-request-id': '1', etag: '2' }
  assert.deepEqual(shown({ ...headers, 'content-length': '1' }), { etag: '2' })
})

test("the upstream's cookies do not reach the browser", () => {
  assert.deepEqual(shown({ 'set-cookie': 'theme=dark' }), {})
  assert.deepEqual(shown({ 'set-cookie': ['theme=dark', 'lang=en'] }), {})
})

test('an allowed cookie passes with its attributes, and no other does', () => {
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

test("an upstream can not set the gateway's own cookies, even if they are allowed", () => {
  const names = ['__Host-bff', '__Host-bff-tx', '__Host-bff-tx-0123456789abcdef']
  const headers = { 'set-cookie': [...names.map((name) => `${name}=evil; Path=/; Secure`), 'theme=dark'] }
  assert.deepEqual(shown(headers, [...names, 'theme']), { 'set-cookie': ['theme=dark'] })
})

test('if Connection names Cache-Control, the answer is still not shared', () => {
  const headers = responseHeaders({ connection: 'cache-control', 'cache-control': 'public' }, rules)
  assert.deepEqual(headers, { 'cache-control': 'private' })
})

test('several Cache-Control headers are treated as one', () => {
  const { 'cache-control': cacheControl } = responseHeaders(
    { 'cache-control': ['public', 'max-age=60, s-maxage=600'] },
    rules,
  )
  assert.equal(cacheControl, 'private, max-age=60')
})

for (const name of ['expires', 'pragma']) {
  test(`an answer that has only ${name} is private`, () => {
    assert.deepEqual(responseHeaders({ [name]: 'x' }, rules), { [name]: 'x', 'cache-control': 'private' })
  })
}

test('an answer without caching headers is not stored', () => {
  assert.deepEqual(responseHeaders({}, rules), { 'cache-control': 'no-store' })
})

test('a redirect below the target leads below the prefix', () => {
  assert.deepEqual(shown({ location: 'https://api.example.com/v1/x' }), { location: '/api/x' })
})

test('a redirect or link that an API made from X-Forwarded-Prefix loses the base path of the target', () => {
  assert.deepEqual(
    shown({
      location: 'https://app.example.com/api/v1/x/1',
      'content-location': '/v1/x/1',
      link: ['</api/v1/x?page=2>; rel=next', '<https://api.example.com/v1/x>; rel=up'],
    }),
    {
      location: 'https://app.example.com/api/x/1',
      'content-location': '/api/x/1',
      link: ['</api/x?page=2>; rel=next', '</api/x>; rel=up'],
    },
  )
})

test('unknown response headers pass only if they are listed', () => {
  const incoming = {
    etag: '"a"',
    server: 'x',
    'x-tenant': '7',
    'x-powered-by': 'y',
    'set-cookie': 'theme=dark',
  }
  const listed = { ...rules, allowed: new Set(['x-tenant', 'server']) }
  assert.deepEqual(shown(incoming), { etag: '"a"' })
  assert.deepEqual(responseHeaders(incoming, listed), {
    etag: '"a"',
    server: 'x',
    'x-tenant': '7',
    'cache-control': 'no-store',
  })
})

test('common response headers of APIs pass unlisted', () => {
  const headers = Object.fromEntries(
    [
      'content-language',
      'content-security-policy',
      'content-digest',
      'x-content-type-options',
      'x-frame-options',
      'cross-origin-resource-policy',
      'referrer-policy',
      'permissions-policy',
      'pragma',
      'age',
      'date',
      'expires',
      'allow',
      'accept-ranges',
      'accept-patch',
      'ratelimit',
      'ratelimit-policy',
      'ratelimit-remaining',
      'x-ratelimit-limit',
      'x-rate-limit-reset',
      'x-ratelimit-limit-requests',
      'x-total-count',
      'x-correlation-id',
      'deprecation',
      'sunset',
      'server-timing',
      'traceresponse',
      'preference-applied',
      'grpc-status',
      'tus-resumable',
      'upload-offset',
      'odata-version',
    ].map((name) => [name, 'x']),
  )
  assert.deepEqual(shown(headers), headers)
})

test('Content-Length is written last, or Node would garble the bytes of a file name', () => {
  const headers = responseHeaders(
    { 'content-length': '3', 'content-disposition': 'attachment; filename="\xc3\xa9"', etag: '"a"' },
    { ...rules, perUser: true },
  )
  assert.equal(Object.keys(headers).at(-1), 'content-length')
})

test('an answer that may differ between users varies on the cookie', () => {
  const vary = (value?: string | string[]) =>
    responseHeaders({ vary: value }, { ...rules, perUser: true })['vary']
  assert.equal(vary(), 'Cookie')
  assert.equal(vary('Accept'), 'Cookie, Accept')
  assert.equal(vary('accept, cookie'), 'cookie, accept')
  assert.equal(vary(['Accept', 'COOKIE']), 'COOKIE, Accept')
  assert.equal(vary(''), 'Cookie')
  assert.equal(vary(' , Accept,, accept'), 'Cookie, accept')
})

test('headers that would affect our whole origin never pass, listed or not', () => {
  const incoming = { 'clear-site-data': '"*"', 'x-accel-redirect': '/x', connection: 'x-a', 'x-a': '1' }
  assert.deepEqual(responseHeaders(incoming, { ...rules, allowed: new Set(Object.keys(incoming)) }), {
    'cache-control': 'no-store',
  })
})
