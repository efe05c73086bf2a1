import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorCode, startGateway, startUpstream } from './support.ts'

test('a method that an upstream does not allow is refused, and Allow names the others', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url, methods: ['GET', 'HEAD', 'POST'] }])
  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    for (const path of ['/api', '/api/', '/api/x?y']) {
      const reply = await gateway.call(path, { method })
      assert.deepEqual([reply.status, errorCode(reply)], [405, 'BFF_METHOD_NOT_ALLOWED'], method)
      assert.equal(reply.headers.allow, 'GET, HEAD, POST')
      assert.equal(reply.headers['cache-control'], 'no-store')
    }
  }
  assert.equal(upstream.arrivals.length, 0)
  for (const method of ['GET', 'HEAD', 'POST']) {
    assert.equal((await gateway.call('/api/x', { method })).status, 200, method)
  }
})

test('a method is refused before the session check, and after the request guard', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url, token: 'user', methods: ['GET'] }])
  assert.equal((await gateway.call('/api/x', { method: 'POST' })).status, 405)
  for (const method of ['POST', 'TRACE']) {
    assert.equal((await gateway.call('/api/x', { method, headers: { 'x-csrf': '0' } })).status, 403)
  }
})

test('a preflight is answered by the gateway, even if the upstream does not allow OPTIONS', async (t) => {
  const upstream = await startUpstream(t)
  const origin = 'https://spa.example.com'
  const env = { CORS_ORIGINS: origin }
  const gateway = await startGateway(t, [{ target: upstream.url, methods: ['GET', 'HEAD'] }], { env })
  const headers = { origin, 'access-control-request-method': 'GET', 'x-csrf': [] }
  const preflight = await gateway.call('/api/x', { method: 'OPTIONS', headers })
  assert.equal(preflight.status, 204)
  assert.equal(preflight.headers['access-control-allow-origin'], origin)
  assert.equal((await gateway.call('/api/x', { method: 'OPTIONS', headers: { origin } })).status, 405)
  assert.equal(upstream.arrivals.length, 0)
})

test('the longest matching prefix is used, with its own methods', async (t) => {
  const [short, long, other] = [await startUpstream(t), await startUpstream(t), await startUpstream(t)]
  const gateway = await startGateway(t, [
    { prefix: '/api', target: short.url },
    { prefix: '/api/v2', target: long.url, methods: ['GET', 'HEAD'] },
    { prefix: '/api/v2/admin', target: other.url, methods: ['POST'] },
  ])
  const paths = (upstream: typeof short) => upstream.arrivals.map(({ method, url }) => `${method} ${url}`)
  for (const path of ['/api', '/api/v1', '/api/v2x', '/api/v20/x', '/api/v2/x', '/api/v2', '/api/%762/y']) {
    assert.equal((await gateway.call(path)).status, 200, path)
  }
  for (const path of ['/api/v2/x', '/api/v2', '/api/v2/', '/api/%762/y']) {
    assert.equal((await gateway.call(path, { method: 'DELETE' })).status, 405, path)
  }
  assert.equal((await gateway.call('/api/v2/admin/x', { method: 'POST' })).status, 200)
  const refused = await gateway.call('/api/v2/admin/x', { method: 'TRACE' })
  assert.deepEqual([refused.status, refused.headers.allow], [405, 'POST'])
  assert.deepEqual(paths(short), ['GET /', 'GET /v1', 'GET /v2x', 'GET /v20/x'])
  assert.deepEqual(paths(long), ['GET /x', 'GET /', 'GET /y'])
  assert.deepEqual(paths(other), ['POST /x'])
})
