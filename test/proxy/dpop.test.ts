import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { WebSocket } from 'ws'
import { startDpopApi, startDpopIssuer } from '../support/dpop.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { redisUrl } from '../support/redis.ts'
import { offerTokenExchange, tokenExchange } from '../support/token-exchange.ts'
import { signIn, startGateway, type WantedUpstream } from './support.ts'

async function start(t: TestContext, wanted: Partial<WantedUpstream> = {}, env: Record<string, string> = {}) {
  const clock = createFakeClock(Date.now())
  const issuer = await startDpopIssuer(t, {
    clientMetadata: {
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials', tokenExchange],
    },
  })
  offerTokenExchange(issuer)
  const api = await startDpopApi(t, issuer, clock.now)
  const target = { target: api.url, token: 'user' as const, ...wanted }
  const all = { OIDC_DPOP: 'true', OIDC_USERINFO: 'false', ...env }
  const newGateway = () => startGateway(t, [target], { issuer, env: all, extras: { clock } })
  const gateway = await newGateway()
  return { clock, issuer, api, gateway, newGateway, errors: () => api.requests.map(({ error }) => error) }
}

/** A gateway with a session, and a function that calls the API in it. */
async function signedIn(t: TestContext, wanted: Partial<WantedUpstream> = {}) {
  const world = await start(t, wanted)
  const cookie = await signIn(world.gateway)
  const call = (path: string, options: Parameters<typeof world.gateway.call>[1] = {}) =>
    world.gateway.call(path, { ...options, headers: { ...options.headers, cookie } })
  return { ...world, cookie, call }
}

test('a proof names method and URL as they are sent, without the query, for each request anew', async (t) => {
  const { call, api, errors } = await signedIn(t)
  const sent: [method: string, path: string][] = [
    ['GET', '/x?y=1&z=%2F'],
    ['PUT', '/a%2Fb/%C3%A9/;x=1'],
    ['DELETE', '/'],
    ['HEAD', ''],
    ['GET', '/x?y=1&z=%2F'],
  ]
  for (const [method, path] of sent) assert.equal((await call(`/api${path}`, { method })).status, 200)
  assert.deepEqual(errors(), Array(sent.length).fill(undefined))
  assert.equal(api.requests[1]?.proof['htu'], `${api.url}/a%2Fb/%C3%A9/;x=1`)
})

test('a proof that the browser sends reaches no API', async (t) => {
  const { call, errors } = await signedIn(t)
  assert.equal((await call('/api/x', { headers: { dpop: 'a.b.c', DPoP_: 'x' } })).status, 200)
  assert.deepEqual(errors(), [undefined])
})

test('an API that wants a nonce gets the request once more with it, body included, and no renewal is caused', async (t) => {
  const { call, api, issuer, errors } = await signedIn(t)
  api.nonce = 'nonce-1'
  const reply = await call('/api/x', { method: 'POST', body: 'small' })
  assert.deepEqual([reply.status, reply.headers['dpop-nonce']], [200, undefined])
  assert.equal((await call('/api/x')).status, 200)
  assert.deepEqual(errors(), ['use_dpop_nonce', undefined, undefined])
  assert.deepEqual(
    api.requests.map(({ proof }) => proof['nonce']),
    [undefined, 'nonce-1', 'nonce-1'],
  )
  assert.deepEqual(issuer.events.refreshGrants(), [])
})

test('a nonce that comes with a successful answer is used from then on', async (t) => {
  const { call, api, errors } = await signedIn(t)
  for (const nonce of ['nonce-1', 'nonce-2', 'nonce-3']) {
    api.nextNonce = nonce
    assert.equal((await call('/api/x')).status, 200)
  }
  assert.deepEqual(errors(), [undefined, undefined, undefined])
  assert.deepEqual(
    api.requests.map(({ proof }) => proof['nonce']),
    [undefined, 'nonce-1', 'nonce-2'],
  )
})

test('a body that cannot be sent again passes the 401, and the next request has the nonce', async (t) => {
  const { call, api, errors } = await signedIn(t)
  api.nonce = 'nonce-1'
  const large = { method: 'POST', body: Buffer.alloc(100_000) }
  assert.equal((await call('/api/x', large)).status, 401)
  assert.equal((await call('/api/x', large)).status, 200)
  assert.deepEqual(errors(), ['use_dpop_nonce', undefined])
})

test('an API that refuses every nonce gets two requests, and its 401 passes', async (t) => {
  const { call, api, issuer, errors } = await signedIn(t)
  api.nonce = 'again'
  api.judge = () => 'use_dpop_nonce'
  const reply = await call('/api/x')
  assert.equal(reply.status, 401)
  assert.match(String(reply.headers['www-authenticate']), /use_dpop_nonce/)
  assert.deepEqual(errors(), ['use_dpop_nonce', 'use_dpop_nonce'])
  assert.deepEqual(issuer.events.refreshGrants(), [])
  api.judge = () => undefined
  assert.equal((await call('/api/x')).status, 200)
})

test('an API that refuses the proof gets it once, and no renewal is caused', async (t) => {
  const { call, api, issuer, errors } = await signedIn(t)
  api.judge = () => 'invalid_dpop_proof'
  assert.equal((await call('/api/x')).status, 401)
  assert.deepEqual(errors(), ['invalid_dpop_proof'])
  assert.deepEqual(issuer.events.refreshGrants(), [])
})

test('a token that the API refuses is renewed, and the request sent again with a proof for the new one', async (t) => {
  const { call, api, errors } = await signedIn(t)
  api.nonce = 'nonce-1'
  let refusals = 1
  api.judge = () => (refusals-- > 0 ? 'invalid_token' : undefined)
  assert.equal((await call('/api/x')).status, 200)
  assert.deepEqual(errors(), ['invalid_token', undefined])
  assert.equal(api.requests[1]?.proof['nonce'], 'nonce-1')
})

test('a WebSocket is opened with a proof, and with the nonce that the API wants', async (t) => {
  const { api, cookie, gateway, errors } = await signedIn(t)
  api.nonce = 'nonce-1'
  const socket = new WebSocket(`ws://localhost:${gateway.port}/api/live?a=1`, {
    headers: { origin: gateway.url, cookie },
  })
  const [message] = await once(socket, 'message')
  socket.close()
  assert.equal(String(message), 'hello')
  assert.deepEqual(errors(), ['use_dpop_nonce', undefined])
  assert.equal(api.requests[1]?.proof['htu'], `${api.url}/live`)
})

test('a WebSocket whose API refuses every nonce is refused after two handshakes', async (t) => {
  const { api, cookie, gateway, errors } = await signedIn(t)
  api.nonce = 'again'
  api.judge = () => 'use_dpop_nonce'
  const socket = new WebSocket(`ws://localhost:${gateway.port}/api/live`, {
    headers: { origin: gateway.url, cookie },
  })
  const [, answer] = await once(socket, 'unexpected-response')
  assert.equal(answer.statusCode, 401)
  socket.on('error', () => {}).terminate()
  assert.deepEqual(errors(), ['use_dpop_nonce', 'use_dpop_nonce'])
})

test("a token for one API is bound to the session's key, whether refreshed or exchanged", async (t) => {
  for (const wanted of [{ resource: 'urn:test:api' }, { exchange: true, audience: 'urn:test:api' }]) {
    const { call, api, issuer } = await signedIn(t, wanted)
    assert.equal((await call('/api/x')).status, 200)
    const [login, ...more] = issuer.proven.filter(({ status }) => status === 200)
    assert.equal(more.length, 1)
    assert.ok(login?.proof && more[0]?.proof)
    assert.equal(api.requests.length, 1)
  }
})

test("the gateway's own token comes with its key from the store, so another process can send it", async (t) => {
  const redis = await redisUrl()
  t.after(redis.close)
  const { api, gateway, newGateway, issuer, errors } = await start(
    t,
    { token: 'client' },
    { REDIS_URL: redis.url },
  )
  const other = await newGateway()
  for (const each of [gateway, other, gateway]) assert.equal((await each.call('/api/x')).status, 200)
  assert.deepEqual(errors(), [undefined, undefined, undefined])
  assert.equal(new Set(api.requests.map(({ jkt }) => jkt)).size, 1)
  const granted = issuer.events.grants('client_credentials').filter(({ outcome }) => outcome === 'success')
  assert.equal(granted.length, 1)
})
