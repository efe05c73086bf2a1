import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type TestContext, test } from 'node:test'
import { WebSocket } from 'ws'
import { startIssuer } from '../../demo/issuer.ts'
import { type Answer, errorCode, ok, signIn, startGateway, startUpstream } from './support.ts'

/** An upstream of images at `/files` that needs no CSRF header, beside `/api`, which needs it. */
async function start(t: TestContext, answer?: Answer) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, answer)
  const wanted = { target: upstream.url, token: 'user' as const }
  const gateway = await startGateway(t, [{ ...wanted, prefix: '/files', csrf: false }, wanted], { issuer })
  const cookie = await signIn(gateway)
  /** Like a request of an element: without the CSRF header. */
  const load = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    gateway.call(path, { method, headers: { cookie, 'x-csrf': [], ...headers } })
  return { upstream, gateway, load }
}

test('with csrf: false, images and links need no header, but still the session', async (t) => {
  const { upstream, gateway, load } = await start(t)
  for (const site of ['same-origin', 'none']) {
    assert.equal((await load('/files/a.png', { 'sec-fetch-site': site })).status, 200)
  }
  assert.equal((await load('/files/a.png')).status, 200)
  assert.match(upstream.arrivals[0]?.headers.authorization ?? '', /^Bearer /)

  const anonymous = await gateway.call('/files/a.png', { headers: { 'x-csrf': [] } })
  assert.deepEqual([anonymous.status, errorCode(anonymous)], [401, 'BFF_SESSION_REQUIRED'])
  assert.equal(upstream.arrivals.length, 3)
})

test('with csrf: false, a form of our own origin may be sent', async (t) => {
  const { gateway, load } = await start(t)
  assert.equal((await load('/files/a', { origin: gateway.url }, 'POST')).status, 200)
})

test('all other upstreams demand the header', async (t) => {
  const { upstream, load } = await start(t)
  for (const path of ['/api/x', '/bff/user', '/bff/session', '/api/files/x', '/files2', '/api/..%2ffiles']) {
    assert.notEqual((await load(path)).status, 200, path)
  }
  assert.equal((await load('/api/x')).status, 403)
  assert.equal(upstream.arrivals.length, 0)
})

test('with csrf: false, foreign pages are still refused, with any method', async (t) => {
  const { upstream, load } = await start(t)
  const foreign: Record<string, string>[] = [
    { 'sec-fetch-site': 'cross-site' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'https://evil.example', 'x-csrf': '1' },
    { origin: 'https://sibling.localhost', 'sec-fetch-site': 'same-site' },
  ]
  for (const headers of foreign) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status } = await load('/files/a', headers, method)
      assert.equal(status, 403, `${method} ${JSON.stringify(headers)}`)
    }
  }
  assert.equal(upstream.arrivals.length, 0)
})

test('with csrf: false, a WebSocket still has to have our own Origin', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const headers of [{}, { origin: 'https://evil.example' }]) {
    const socket = new WebSocket(`ws://localhost:${gateway.port}/files/x`, { headers })
    socket.on('error', () => {})
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
    response.resume()
    assert.equal(response.statusCode, 403)
  }
  assert.equal(upstream.arrivals.length, 0)
})

test("with csrf: false, same-site pages can't embed answers, unless the upstream allows it", async (t) => {
  const { load, gateway } = await start(t, (arrival) => {
    if (arrival.url === '/shared') arrival.response.setHeader('cross-origin-resource-policy', 'same-site')
    ok(arrival)
  })
  assert.equal((await load('/files/a')).headers['cross-origin-resource-policy'], 'same-origin')
  assert.equal((await load('/files/shared')).headers['cross-origin-resource-policy'], 'same-site')
  const elsewhere = await load('/api/a', { 'x-csrf': '1', origin: gateway.url })
  assert.equal(elsewhere.status, 200)
  assert.equal(elsewhere.headers['cross-origin-resource-policy'], undefined)
})
