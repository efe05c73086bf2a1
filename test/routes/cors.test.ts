import assert from 'node:assert/strict'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { type TestContext, test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import {
  type Answer,
  type CallOptions,
  errorCode,
  signIn as signInAt,
  startGateway,
  startUpstream,
  unreachableUrl,
} from '../proxy/support.ts'

const spa = 'https://spa.example.com'
const admin = 'https://admin.example.com:8443'
const allowed = { CORS_ORIGINS: `${spa},${admin}` }

async function start(t: TestContext, answer?: Answer, env: Record<string, string> = allowed) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, answer)
  const upstreams = [
    { target: upstream.url },
    { prefix: '/mine', target: upstream.url, token: 'user' as const },
    { prefix: '/down', target: await unreachableUrl() },
  ]
  const gateway = await startGateway(t, upstreams, { issuer, env })
  return { gateway, upstream, signIn: () => signInAt(gateway) }
}

/** The preflight that a browser sends for a request of a page of `origin`. */
function preflight(origin: string, headers: OutgoingHttpHeaders = {}): CallOptions {
  return {
    method: 'OPTIONS',
    headers: {
      origin,
      'sec-fetch-site': 'cross-site',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-csrf',
      // Sent by the test's other requests, but not by a preflight.
      'x-csrf': [],
      ...headers,
    },
  }
}

function from(origin: string, headers: OutgoingHttpHeaders = {}): CallOptions {
  return { headers: { origin, 'sec-fetch-site': 'cross-site', ...headers } }
}

function list(value: string | undefined): string[] {
  return (value ?? '').split(',').map((entry) => entry.trim().toLowerCase())
}

function granted(headers: IncomingHttpHeaders): string[] {
  return Object.keys(headers).filter((name) => name.startsWith('access-control-'))
}

function assertGranted(headers: IncomingHttpHeaders, origin: string): void {
  assert.equal(headers['access-control-allow-origin'], origin)
  assert.equal(headers['access-control-allow-credentials'], 'true')
  assert.ok(list(headers.vary).includes('origin'), headers.vary)
}

test('a preflight from an allowed origin is answered by the gateway, without session or CSRF header', async (t) => {
  const { gateway, upstream } = await start(t)
  for (const origin of [spa, admin]) {
    for (const path of ['/bff/session', '/bff/user', '/api/x', '/mine/x', '/down/x']) {
      const { status, headers, text } = await gateway.call(path, preflight(origin))
      assert.equal(status, 204, path)
      assert.equal(text, '')
      assertGranted(headers, origin)
      assert.deepEqual(list(headers['access-control-allow-headers']), ['content-type', 'x-csrf'])
      const methods = list(headers['access-control-allow-methods'])
      for (const method of ['get', 'head', 'post', 'put', 'patch', 'delete'])
        assert.ok(methods.includes(method), method)
      assert.equal(headers['set-cookie'], undefined)
    }
  }
  assert.deepEqual(upstream.arrivals, [])
})

const foreign = [
  'null',
  'https://evil.example',
  'http://spa.example.com',
  'https://spa.example.com:8443',
  'https://spa.example.com.evil.example',
  'https://evil-spa.example.com',
  'https://SPA.example.com',
  'https://spa.example.com/',
  'https://spa.example.com,https://evil.example',
  '*',
  '',
]

for (const origin of foreign) {
  test(`a page of ${origin || 'an empty origin'} gets no CORS headers`, async (t) => {
    const { gateway, upstream } = await start(t)
    for (const options of [preflight(origin), from(origin), { ...from(origin), method: 'POST' }]) {
      for (const path of ['/bff/session', '/api/x']) {
        const reply = await gateway.call(path, options)
        assert.deepEqual([reply.status, errorCode(reply)], [403, 'BFF_CSRF_REJECTED'])
        assert.deepEqual(granted(reply.headers), [])
        assert.equal(reply.headers['cache-control'], 'no-store')
      }
    }
    assert.deepEqual(upstream.arrivals, [])
  })
}

test('without CORS_ORIGINS no origin gets CORS headers', async (t) => {
  const { gateway, upstream } = await start(t, undefined, {})
  for (const options of [preflight(spa), from(spa), preflight(gateway.url), { method: 'OPTIONS' }, {}]) {
    for (const path of ['/bff/session', '/api/x'])
      assert.deepEqual(granted((await gateway.call(path, options)).headers), [])
  }
  // No session endpoint has OPTIONS, and requests from foreign origins are refused before that.
  assert.ok(upstream.arrivals.every(({ headers }) => headers.origin === undefined))
})

test("an allowed page may read answers, and the frontend's own origin needs no CORS headers", async (t) => {
  const { gateway, signIn } = await start(t)
  const cookie = await signIn()
  for (const path of ['/bff/session', '/bff/user', '/api/x', '/mine/x']) {
    const reply = await gateway.call(path, from(spa, { cookie }))
    assert.equal(reply.status, 200, path)
    assertGranted(reply.headers, spa)

    const own = await gateway.call(path, { headers: { cookie, origin: gateway.url } })
    assert.equal(own.status, 200, path)
    assert.deepEqual(granted(own.headers), [])
    assert.ok(list(own.headers.vary).includes('origin'), own.headers.vary)
  }
})

test('an allowed page may read errors', async (t) => {
  const { gateway } = await start(t)
  const errors: [path: string, status: number, code: string, headers?: OutgoingHttpHeaders][] = [
    ['/bff/user', 401, 'BFF_SESSION_REQUIRED'],
    ['/mine/x', 401, 'BFF_SESSION_REQUIRED'],
    ['/down/x', 502, 'BFF_UPSTREAM_UNREACHABLE'],
    ['/api/%2e%2e%2fx', 400, 'BFF_INVALID_PATH'],
    ['/bff/session', 403, 'BFF_CSRF_REJECTED', { 'x-csrf': '0' }],
    ['/api/x', 403, 'BFF_CSRF_REJECTED', { 'x-csrf': '0' }],
  ]
  for (const [path, status, code, headers] of errors) {
    const reply = await gateway.call(path, from(spa, headers))
    assert.deepEqual([reply.status, errorCode(reply)], [status, code], path)
    assertGranted(reply.headers, spa)
  }
})

test('CORS headers of an upstream do not pass', async (t) => {
  const { gateway } = await start(t, ({ response }) => {
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('access-control-allow-credentials', 'false')
    response.setHeader('access-control-allow-methods', 'TRACE')
    response.setHeader('access-control-expose-headers', 'x-internal')
    response.setHeader('access-control-allow-private-network', 'true')
    response.end()
  })
  const { headers } = await gateway.call('/api/x', from(spa))
  assertGranted(headers, spa)
  assert.deepEqual(granted(headers), [
    'access-control-allow-origin',
    'access-control-allow-credentials',
    'access-control-expose-headers',
  ])
  assert.doesNotMatch(String(headers['access-control-expose-headers']), /x-internal/)
  assert.deepEqual(granted((await gateway.call('/api/x')).headers), [])
})

test('scripts of an allowed page read what tells them how to go on, and what else is listed', async (t) => {
  const always = ['bff-login-url', 'retry-after', 'www-authenticate']
  for (const [configured, more] of [
    ['', []],
    ['X-Total-Count, ETag', ['x-total-count', 'etag']],
  ] as const) {
    const { gateway } = await start(t, undefined, { ...allowed, CORS_EXPOSED_HEADERS: configured })
    for (const path of ['/api/x', '/down/x', '/bff/user', '/bff/session']) {
      const { headers } = await gateway.call(path, from(spa))
      assert.deepEqual(list(headers['access-control-expose-headers']), [...always, ...more], path)
    }
  }
})

const varies: [upstream: string | string[] | undefined, browser: string][] = [
  [undefined, 'Origin'],
  ['Accept-Encoding', 'Origin, Accept-Encoding'],
  [['Accept', 'Accept-Language , Accept'], 'Origin, Accept, Accept-Language'],
  ['origin', 'origin'],
  ['*', 'Origin, *'],
  ['', 'Origin'],
]

for (const [theirs, seen] of varies) {
  test(`Vary has the upstream's fields (${theirs}) and Origin`, async (t) => {
    const { gateway } = await start(t, ({ response }) => {
      if (theirs !== undefined) response.setHeader('vary', theirs)
      response.end()
    })
    for (const options of [from(spa), {}])
      assert.equal((await gateway.call('/api/x', options)).headers.vary, seen)
  })
}

test("without CORS the upstream's Vary passes unchanged", async (t) => {
  const { gateway } = await start(t, ({ response }) => response.setHeader('vary', 'Accept').end(), {})
  assert.equal((await gateway.call('/api/x')).headers.vary, 'Accept')
})

test('an OPTIONS request that is no preflight is forwarded, and needs the CSRF header', async (t) => {
  const { gateway, upstream } = await start(t)
  const origins = [spa, gateway.url, undefined]
  for (const origin of origins) {
    const headers = { ...(origin !== undefined && { origin }) }
    assert.equal((await gateway.call('/api/x', { method: 'OPTIONS', headers })).text, 'ok')
    const without = await gateway.call('/api/x', {
      method: 'OPTIONS',
      headers: { ...headers, 'x-csrf': '0' },
    })
    assert.deepEqual([without.status, errorCode(without)], [403, 'BFF_CSRF_REJECTED'])
    const session = await gateway.call('/bff/session', { method: 'OPTIONS', headers })
    assert.deepEqual([session.status, errorCode(session)], [404, 'BFF_NOT_FOUND'])
  }
  assert.deepEqual(
    upstream.arrivals.map(({ method }) => method),
    origins.map(() => 'OPTIONS'),
  )
})

test('a request that only looks like a preflight has to pass all checks', async (t) => {
  const { gateway, upstream } = await start(t)
  const method = { 'access-control-request-method': 'POST', 'x-csrf': '0' }
  for (const options of [
    { method: 'OPTIONS', headers: method },
    { method: 'OPTIONS', headers: { ...method, origin: gateway.url } },
    { method: 'POST', headers: { ...method, origin: spa } },
  ]) {
    for (const path of ['/bff/session', '/mine/x']) {
      const reply = await gateway.call(path, options)
      assert.deepEqual([reply.status, errorCode(reply)], [403, 'BFF_CSRF_REJECTED'])
    }
  }
  assert.deepEqual(upstream.arrivals, [])
})

test('endpoints for navigations get no CORS headers', async (t) => {
  const { gateway, signIn } = await start(t)
  const cookie = await signIn()
  for (const path of [
    '/bff/login',
    '/bff/callback',
    '/bff/frontchannel-logout',
    '/healthz',
    '/readyz',
    '/bff/x',
  ]) {
    assert.deepEqual(granted((await gateway.call(path, from(spa, { cookie }))).headers), [], path)
  }
})
