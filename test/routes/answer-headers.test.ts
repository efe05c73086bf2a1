import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorCode, startGateway, startUpstream } from '../proxy/support.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const csrf = { 'x-csrf': '1' }
const https = { PUBLIC_URL: 'https://app.example.com' }
const policy = "default-src 'none';frame-ancestors 'self'"

test('answers and error pages below /bff have a policy that forbids everything', async (t) => {
  const { app } = await startInjectGateway(t)
  for (const url of ['/bff/login', '/bff/callback', '/bff/logout', '/bff/user', '/bff/session', '/bff/x']) {
    const { headers } = await app.inject({ url, headers: { ...csrf, accept: 'text/html' } })
    // The style of an error page is allowed by its hash.
    const { 'content-security-policy': sent = '' } = headers
    assert.equal(String(sent).replace(/style-src 'sha256-[\w+/]+=*';/, ''), policy, url)
    assert.equal(headers['x-content-type-options'], 'nosniff', url)
    assert.equal(headers['x-frame-options'], 'SAMEORIGIN', url)
    assert.equal(headers['referrer-policy'], 'same-origin', url)
    assert.equal(headers['strict-transport-security'], undefined, url)
  }
})

test('refused and unknown requests below /bff have that policy too, with and without CORS', async (t) => {
  for (const env of [{}, { CORS_ORIGINS: 'https://spa.example.com' }]) {
    const { app } = await startInjectGateway(t, {
      env,
      extras: { limits: { requestsPerMinute: 'CORS_ORIGINS' in env ? 4 : 5 } },
    })
    const foreign = { ...csrf, origin: 'https://evil.example' }
    for (const [statusCode, method, url, headers] of [
      [403, 'GET', '/bff/user', {}],
      [403, 'GET', '/bff/user', foreign],
      [403, 'GET', '/bff/session', {}],
      [403, 'POST', '/bff/session', foreign],
      [404, 'GET', '/bff/', {}],
      [404, 'GET', '/bff/x/y', {}],
      [405, 'POST', '/bff/login', {}],
      [405, 'DELETE', '/bff/user', csrf],
      ...('CORS_ORIGINS' in env ? [] : ([[404, 'OPTIONS', '/bff/x', {}]] as const)),
      [429, 'GET', '/bff/login', {}],
    ] as const) {
      const answer = await app.inject({ method, url, headers })
      assert.equal(answer.statusCode, statusCode, `${method} ${url}`)
      assert.equal(answer.headers['content-security-policy'], policy, `${method} ${url}`)
      assert.equal(answer.headers['x-content-type-options'], 'nosniff')
    }
  }
})

test('a login in a popup keeps its reference to the opener', async (t) => {
  const { app } = await startInjectGateway(t)
  const { statusCode, headers } = await app.inject('/bff/login')
  assert.equal(statusCode, 302)
  assert.equal(headers['cross-origin-opener-policy'], undefined)
})

test('on https answers have Strict-Transport-Security, for this host only', async (t) => {
  const { app } = await startInjectGateway(t, { env: https })
  const { headers } = await app.inject('/bff/login')
  assert.equal(headers['strict-transport-security'], 'max-age=31536000')
})

test('errors of a front-channel logout may be framed by the issuer too', async (t) => {
  const { app, issuer } = await startInjectGateway(t)
  const { statusCode, headers } = await app.inject('/bff/frontchannel-logout')
  assert.equal(statusCode, 400)
  assert.equal(headers['content-security-policy'], `default-src 'none';frame-ancestors ${issuer.issuer}`)
  assert.equal(headers['x-frame-options'], undefined)
  assert.equal(headers['cross-origin-resource-policy'], undefined)
  assert.equal(headers['x-content-type-options'], 'nosniff')
})

test('answers of an upstream get none of these headers', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }])
  const { status, headers } = await gateway.call('/api/x')
  assert.equal(status, 200)
  assert.deepEqual(Object.keys(headers).sort(), ['cache-control', 'connection', 'content-length', 'date'])
})

const ownHeaders = [
  'content-security-policy',
  'cross-origin-resource-policy',
  'referrer-policy',
  'strict-transport-security',
  'x-content-type-options',
  'x-frame-options',
] as const

test('errors outside /bff have these headers, wherever the request fails, and pages of the allowed origins can read it', async (t) => {
  const upstream = await startUpstream(t)
  let isOverloaded = false
  const env = { ...https, CORS_ORIGINS: 'https://spa.example.com' }
  const upstreams = [
    { target: upstream.url, methods: ['GET' as const] },
    { target: upstream.url, prefix: '/mine', token: 'user' as const },
  ]
  const gateway = await startGateway(t, upstreams, {
    env,
    extras: { isOverloaded: () => isOverloaded },
  })
  const origin = 'https://spa.example.com'
  const { headers: wanted } = await gateway.call('/bff/user', { headers: { origin } })

  for (const [code, path, options] of [
    ['BFF_SESSION_REQUIRED', '/mine/x', {}],
    ['BFF_CSRF_REJECTED', '/api/x', { headers: { 'x-csrf': '0' } }],
    ['BFF_METHOD_NOT_ALLOWED', '/api/x', { method: 'DELETE' }],
    ['BFF_WRONG_HOST', '/api/x', { headers: { host: 'other.example.com' } }],
    ['BFF_INVALID_PATH', '/api/%zz', {}],
    ['BFF_NOT_FOUND', '/nowhere', { method: 'POST' }],
    ['BFF_OVERLOADED', '/api/x', {}],
  ] as const) {
    isOverloaded = code === 'BFF_OVERLOADED'
    const answer = await gateway.call(path, { ...options, headers: { origin, ...Object(options).headers } })
    const what = `${code} ${path}`
    assert.equal(errorCode(answer), code, what)
    for (const name of ownHeaders) assert.equal(answer.headers[name], wanted[name], `${what} ${name}`)
    assert.equal(answer.headers['access-control-allow-origin'], origin, what)
    assert.match(answer.headers['access-control-expose-headers'] ?? '', /retry-after/, what)
    assert.match(answer.headers.vary ?? '', /\bOrigin\b/, what)
    const foreign = { origin: 'https://evil.example', ...Object(options).headers }
    const { headers } = await gateway.call(path, { ...options, headers: foreign })
    assert.equal(headers['access-control-allow-origin'], undefined, what)
  }
})
