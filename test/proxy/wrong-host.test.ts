import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { WebSocket } from 'ws'
import { startIssuer } from '../../demo/issuer.ts'
import { startApplication } from '../plugin/support.ts'
import { errorCode, exchange, signIn, startGateway, startUpstream } from './support.ts'

const kinds = ['none', 'client', 'user-or-client', 'user-or-none'] as const

async function start(t: TestContext, env: Record<string, string> = {}) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t)
  const upstreams = kinds.map((token) => ({ prefix: `/${token}`, target: upstream.url, token }))
  const gateway = await startGateway(t, [{ target: upstream.url, token: 'user' }, ...upstreams], {
    issuer,
    env,
  })
  const at = (path: string, host: string, headers: Record<string, string> = {}) =>
    gateway.call(path, { headers: { ...headers, host } })
  return { upstream, gateway, at }
}

test('an upstream that needs no session accepts only the host of the public URL', async (t) => {
  const { upstream, gateway, at } = await start(t)
  const cookie = await signIn(gateway)
  const own = `localhost:${gateway.port}`
  for (const kind of kinds) {
    for (const host of [
      'evil.example',
      'localhost',
      'localhost:1',
      `evil.example:${gateway.port}`,
      `${own}.`,
      // A URL parser would find our own host in these.
      `evil.example@${own}`,
      `${own}/evil.example`,
      `${own}?evil.example`,
    ]) {
      for (const headers of [{}, { cookie }]) {
        const reply = await at(`/${kind}/x`, host, headers)
        assert.deepEqual([reply.status, errorCode(reply)], [421, 'BFF_WRONG_HOST'], `${kind} ${host}`)
        assert.match(reply.headers['cache-control'] ?? '', /no-store/)
      }
    }
    const forged = await at(`/${kind}/x`, 'evil.example', { 'x-forwarded-host': own })
    assert.equal(forged.status, 421)
  }
  assert.equal(upstream.arrivals.length, 0)
  assert.equal((await at('/none/x', own.toUpperCase())).status, 200)
})

test('an upstream that needs a session accepts any host', async (t) => {
  const { gateway, at } = await start(t)
  const cookie = await signIn(gateway)
  assert.equal((await at('/api/x', 'internal.example', { cookie })).status, 200)
  assert.equal((await at('/api/x', 'internal.example')).status, 401)
})

test('the default port may be omitted', async (t) => {
  const { at } = await start(t, { PUBLIC_URL: 'https://app.example.com/base' })
  const status = async (host: string) => (await at('/none/x', host)).status
  assert.deepEqual(
    await Promise.all(['app.example.com', 'app.example.com:443', 'app.example.com:80'].map(status)),
    [200, 200, 421],
  )
})

test('X-Forwarded-Host counts from a trusted proxy only', async (t) => {
  const env = { PUBLIC_URL: 'https://app.example.com' }
  const trusting = await start(t, { ...env, TRUST_PROXY: '127.0.0.0/8' })
  const distrusting = await start(t, { ...env, TRUST_PROXY: '10.0.0.0/8' })
  const forwarded = { 'x-forwarded-host': 'app.example.com' }
  assert.equal((await trusting.at('/none/x', 'gateway:3000', forwarded)).status, 200)
  assert.equal((await distrusting.at('/none/x', 'gateway:3000', forwarded)).status, 421)
  const other = { 'x-forwarded-host': 'evil.example' }
  assert.equal((await trusting.at('/none/x', 'app.example.com', other)).status, 421)
})

test('a WebSocket that names another host is refused in the same way', async (t) => {
  const { upstream, gateway } = await start(t)
  const headers = { origin: gateway.url, host: `evil.example:${gateway.port}` }
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/none/x`, { headers })
  const [, response] = await once(socket, 'unexpected-response')
  assert.equal(response.statusCode, 421)
  assert.equal(upstream.arrivals.length, 0)
})

test('an HTTP/1.0 client without Host is accepted', async (t) => {
  const { gateway } = await start(t)
  assert.match(await exchange(gateway.port, 'GET /none/x HTTP/1.0\r\nx-csrf: 1\r\n\r\n'), /^HTTP\/1.1 200 /)
})

test('in an application the rule is the same, with its own trustProxy, and does not apply to its own routes', async (t) => {
  const upstream = await startUpstream(t)
  const { app } = await startApplication(t, {
    server: { trustProxy: '127.0.0.1' },
    bff: {
      publicUrl: 'https://app.example.com/shop',
      upstreams: [{ prefix: '/open', target: upstream.url, token: 'none' }],
    },
    routes: (app) => app.get('/own', async () => 'own'),
  })
  const ask = (url: string, headers: Record<string, string>) =>
    app.inject({ url, headers: { 'x-csrf': '1', ...headers } })
  for (const headers of [
    { host: 'evil.example' },
    { host: 'app.example.com', 'x-forwarded-host': 'evil.example' },
    { host: 'app.example.com', 'x-forwarded-host': 'app.example.com, evil.example' },
  ]) {
    const refused = await ask('/open/x', headers)
    assert.deepEqual([refused.statusCode, refused.json().code], [421, 'BFF_WRONG_HOST'])
    assert.equal((await ask('/own', headers)).body, 'own')
  }
  assert.equal(upstream.arrivals.length, 0)
  for (const headers of [{ host: 'app.example.com' }, { host: 'a', 'x-forwarded-host': 'app.example.com' }]) {
    assert.equal((await ask('/open/x', headers)).statusCode, 200)
  }
})
