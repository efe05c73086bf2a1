import assert from 'node:assert/strict'
import { Agent, get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { decodeJwt } from 'jose'
import { startIssuer } from '../../demo/issuer.ts'
import { type Answer, errorCode, exchange, ok, signIn, startGateway, startUpstream } from './support.ts'

/** Answers the user of the token. */
const whoAmI: Answer = ({ headers, request, response }) => {
  const token = headers.authorization?.replace('Bearer ', '')
  request.resume()
  response.end(`<${token === undefined ? 'anonymous' : decodeJwt(token).sub}>`)
}

async function start(t: TestContext, answer: Answer = ok) {
  const issuer = await startIssuer({ apiAudience: 'urn:test:api' })
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, answer)
  const gateway = await startGateway(
    t,
    [
      { target: upstream.url, token: 'user' },
      { prefix: '/open', target: upstream.url },
    ],
    { issuer },
  )
  return { issuer, upstream, gateway }
}

test('without a session the upstream is not called', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const cookie of [undefined, 'bff=rubbish', 'other=1', 'bff=']) {
    for (const method of ['GET', 'POST']) {
      const body = method === 'POST' ? { body: 'x'.repeat(100_000) } : {}
      const reply = await gateway.call('/api/x', { method, headers: cookie ? { cookie } : {}, ...body })
      assert.deepEqual([reply.status, errorCode(reply)], [401, 'BFF_SESSION_REQUIRED'])
      assert.equal(JSON.parse(reply.text).loginUrl, '/bff/login')
      assert.equal(reply.headers['cache-control'], 'no-store')
    }
  }
  assert.equal(upstream.arrivals.length, 0)
})

test('without the CSRF header, or from a foreign site, the upstream is not called', async (t) => {
  const { upstream, gateway } = await start(t)
  const cookie = await signIn(gateway)
  const foreign = [
    { 'x-csrf': '' },
    { 'x-csrf': '0' },
    { 'x-csrf': '1', origin: 'https://evil.example' },
    { 'x-csrf': '1', 'sec-fetch-site': 'cross-site' },
  ]
  for (const path of ['/api/x', '/open/x', '/api', '/%61pi/x']) {
    for (const headers of foreign) {
      const reply = await gateway.call(path, { headers: { cookie, ...headers } })
      assert.deepEqual([reply.status, errorCode(reply)], [403, 'BFF_CSRF_REJECTED'])
    }
  }
  assert.equal(upstream.arrivals.length, 0)
})

test("the upstream gets the user's token, neither cookie nor token of the browser", async (t) => {
  const { upstream, gateway } = await start(t)
  const cookie = await signIn(gateway)
  const headers = { cookie, authorization: 'Bearer mine', connection: 'keep-alive, authorization' }

  assert.equal((await gateway.call('/api/x', { headers })).status, 200)

  const [{ headers: sent } = assert.fail()] = upstream.arrivals
  const claims = decodeJwt(sent.authorization?.replace(/^Bearer /, '') ?? '')
  assert.deepEqual([claims.sub, claims.aud], ['alice', 'urn:test:api'])
  assert.equal(sent.cookie, undefined)
})

test('an upstream without tokens gets none, with and without a session', async (t) => {
  const { upstream, gateway } = await start(t)
  const cookie = await signIn(gateway)
  const { status } = await gateway.call('/open/x', { headers: { cookie, authorization: 'Bearer mine' } })
  assert.equal(status, 200)
  assert.equal(upstream.arrivals[0]?.headers.authorization, undefined)
  assert.equal(upstream.arrivals[0]?.headers.cookie, undefined)
})

test('an answer of the upstream does not change the session cookie', async (t) => {
  const { gateway } = await start(t, ({ response }) => {
    response.writeHead(401, { 'set-cookie': 'bff=; Max-Age=0; Path=/' }).end('no')
  })
  const cookie = await signIn(gateway)
  const { status, headers } = await gateway.call('/open/x', { headers: { cookie } })
  assert.equal(status, 401)
  assert.equal(headers['set-cookie'], undefined)
})

test('pipelined requests on one connection get the answers of their own users, in order', async (t) => {
  const { gateway, upstream } = await start(t, async (arrival) => {
    // Later requests are answered faster.
    if (upstream.arrivals.length < 6) await upstream.nextArrival()
    whoAmI(arrival)
  })
  const [alice, bob] = [await signIn(gateway, 'alice'), await signIn(gateway, 'bob')]
  const order = [alice, bob, bob, alice, undefined, bob, alice]

  const answers = await exchange(
    gateway.port,
    order
      .map((cookie, index) => {
        const lines = ['GET /api/x HTTP/1.1', 'Host: GATEWAY', 'x-csrf: 1']
        if (cookie !== undefined) lines.push(`Cookie: ${cookie}`)
        if (index === order.length - 1) lines.push('Connection: close')
        return `${lines.join('\r\n')}\r\n\r\n`
      })
      .join(''),
  )

  assert.deepEqual(answers.match(/<\w+>|BFF_SESSION_REQUIRED/g), [
    '<alice>',
    '<bob>',
    '<bob>',
    '<alice>',
    'BFF_SESSION_REQUIRED',
    '<bob>',
    '<alice>',
  ])
})

test('users who share connections of a proxy in front never get each other’s answers', async (t) => {
  const { gateway, upstream } = await start(t, whoAmI)
  const cookies = { alice: await signIn(gateway, 'alice'), bob: await signIn(gateway, 'bob') }
  const agent = new Agent({ keepAlive: true, maxSockets: 3 })
  t.after(() => agent.destroy())
  const ask = async (user: 'alice' | 'bob') => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const headers = { cookie: cookies[user], 'x-csrf': '1' }
    get({ host: '127.0.0.1', port: gateway.port, path: '/api/x', agent, headers }, resolve).on(
      'error',
      reject,
    )
    return text(await promise)
  }
  const users = Array.from(
    { length: 60 },
    (_, index) => (index % 3 === 0 ? 'alice' : 'bob') as 'alice' | 'bob',
  )

  assert.deepEqual(
    await Promise.all(users.map(ask)),
    users.map((user) => `<${user}>`),
  )
  assert.ok(upstream.connections() < users.length)
})

test('each answer of an upstream is logged, without query and token', async (t) => {
  const { gateway } = await start(t)
  const cookie = await signIn(gateway)
  await gateway.call('/api/a%2Fb?secret=1', { method: 'POST', body: 'x', headers: { cookie } })

  const lines = gateway.logs.filter(({ event }) => event === 'upstream.response')
  const [{ level, method, url, statusCode, durationMs, user, sessionHash, reqId } = assert.fail()] = lines
  assert.deepEqual([lines.length, level, method, statusCode, user], [1, 30, 'POST', 200, 'Alice Example'])
  assert.match(String(url), /^http:\/\/127\.0\.0\.1:\d+\/a%2Fb$/)
  assert.equal(typeof durationMs, 'number')
  assert.ok(sessionHash)
  assert.ok(reqId)
  assert.doesNotMatch(JSON.stringify(gateway.logs), /secret|eyJ/)
})
