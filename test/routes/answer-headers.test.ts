import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGateway, startUpstream } from '../proxy/support.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const csrf = { 'x-csrf': '1' }
const https = { PUBLIC_URL: 'https://app.example.com' }
const policy = "default-src 'none';frame-ancestors 'self'"

test('answers and error pages below /bff have a policy that forbids everything', async (t) => {
  const { app } = await startInjectGateway(t)
  for (const url of ['/bff/login', '/bff/callback', '/bff/logout', '/bff/user', '/bff/session', '/bff/x']) {
    const { headers } = await app.inject({ url, headers: { ...csrf, accept: 'text/html' } })
    assert.equal(headers['content-security-policy'], policy, url)
    assert.equal(headers['x-content-type-options'], 'nosniff', url)
    assert.equal(headers['x-frame-options'], 'SAMEORIGIN', url)
    assert.equal(headers['referrer-policy'], 'same-origin', url)
    assert.equal(headers['strict-transport-security'], undefined, url)
  }
})

test('refused and unknown requests below /bff have that policy too, with and without CORS', async (t) => {
  for (const env of [{}, { CORS_ORIGINS: 'https://spa.example.com' }]) {
    const { app } = await startInjectGateway(t, { env })
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
