import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { decodeJwt } from 'jose'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { freePort } from '../support/free-port.ts'
import { newKey } from '../support/inject-gateway.ts'
import { startApplication } from './support.ts'

test("a route gets the user's access token, and 401 without a session", async (t) => {
  const issuer = await startIssuer({ apiAudience: 'urn:api' })
  t.after(() => issuer.close())
  const { newBrowser } = await startApplication(t, { issuer, routes: tellsSubject })
  const [alice, bob, anonymous] = [newBrowser(), newBrowser(), newBrowser()]
  await alice.signIn('alice')
  await bob.signIn('bob')

  const subjects = await Promise.all(
    [alice, bob].map(async (browser) => (await browser.open('/token')).json().sub),
  )
  assert.deepEqual(subjects, ['alice', 'bob'])
  const answer = await anonymous.open('/token')
  assert.deepEqual([answer.statusCode, answer.json().code], [401, 'BFF_SESSION_REQUIRED'])
})

test('a token that an API has refused is renewed on demand, once for parallel callers', async (t) => {
  const { issuer, newBrowser } = await startApplication(t, {
    routes(app) {
      app.get('/again', async (request) => {
        const first = await request.accessToken()
        const others = await Promise.all([1, 2, 3].map(() => request.accessToken({ forceRenewal: true })))
        return { renewed: others.every((token) => token !== first), distinct: new Set(others).size }
      })
    },
  })
  const browser = newBrowser()
  await browser.signIn()

  assert.deepEqual((await browser.open('/again')).json(), { renewed: true, distinct: 1 })
  assert.equal(issuer.events.refreshGrants().length, 1)
})

test("a route gets the user's tokens for other APIs too, and 503 if the issuer declines one", async (t) => {
  const issuer = await startIssuer({ apiAudience: 'urn:api' })
  t.after(() => issuer.close())
  const { newBrowser } = await startApplication(t, {
    issuer,
    bff: {
      oidc: { ...clientOf(issuer), authorizationParams: 'resource=urn:api&resource=urn:orders' },
    },
    routes(app) {
      app.get<{ Querystring: { resource: string } }>('/', async (request) => {
        const { resource } = request.query
        const tokens = [await request.accessToken({ resource }), await request.accessToken()]
        return tokens.map((token) => decodeJwt(token).aud)
      })
    },
  })
  const browser = newBrowser()
  await browser.signIn()

  assert.deepEqual((await browser.open('/?resource=urn:orders')).json(), ['urn:orders', 'urn:api'])
  assert.deepEqual((await browser.open('/?resource=urn:orders')).json(), ['urn:orders', 'urn:api'])
  assert.equal(issuer.events.refreshGrants().length, 1)
  const declined = await browser.open('/?resource=urn:unknown')
  assert.deepEqual([declined.statusCode, declined.json().code], [503, 'BFF_ISSUER_UNAVAILABLE'])
})

test('a session that the issuer refuses to renew ends with 401, and an application route does not touch the cookie', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser } = await startApplication(t, {
    issuer,
    routes: (app) => app.get('/', async (request) => request.accessToken({ forceRenewal: true })),
  })
  const browser = newBrowser()
  await browser.signIn()
  issuer.rewrite('/token', (_answer, ctx) => {
    ctx.status = 400
    ctx.body = { error: 'invalid_grant' }
  })

  const answer = await browser.open('/')
  assert.deepEqual([answer.statusCode, answer.json().code], [401, 'BFF_SESSION_ENDED'])
  assert.equal(answer.headers['set-cookie'], undefined)
})

test('an application that loads the session for all requests, unknown paths too, does not touch the cookie', async (t) => {
  const { app, newBrowser } = await startApplication(t, {
    routes: (app) => app.addHook('onRequest', async (request) => app.bff.loadSession(request)),
  })
  const browser = newBrowser()
  await browser.signIn()
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''
  await browser.open('/bff/logout')

  const answer = await app.inject({ url: '/unknown', headers: { cookie } })
  assert.deepEqual([answer.statusCode, answer.headers['set-cookie']], [404, undefined])
})

test('a failing store is 503 with Retry-After, and ends no session', async (t) => {
  const session = { keys: newKey() }
  const healthy = await startApplication(t, { bff: { session } })
  const redisUrl = `redis://127.0.0.1:${await freePort()}`
  const { app } = await startApplication(t, {
    bff: { session, redisUrl },
    routes: (app) => app.get('/', { onRequest: app.bff.requireSession }, async () => 'never'),
  })
  const browser = healthy.newBrowser()
  await browser.signIn()
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''

  const answer = await app.inject({ url: '/', headers: { cookie } })
  assert.deepEqual([answer.statusCode, answer.json().code], [503, 'BFF_STORE_UNAVAILABLE'])
  assert.equal(answer.headers['retry-after'], '1')
  assert.equal(answer.headers['set-cookie'], undefined)
})

test("app.bff.fetch sends the token to an upstream, by its URL or by the frontend's path", async (t) => {
  const seen: { url: string; authorization: string; custom: unknown }[] = []
  const api = await startApi(t, ({ url = '', headers }, response) => {
    seen.push({ url, authorization: headers.authorization ?? '', custom: headers['x-custom'] })
    response.end('{"ok":true}')
  })
  const { newBrowser } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: `${api}/v2` }] },
    routes: (app) =>
      app.get('/call', async (request) => {
        const headers = { 'x-custom': 'kept', authorization: 'Basic mine' }
        const answers = [
          await app.bff.fetch(request, '/api/orders?page=1', { headers }),
          await app.bff.fetch(request, `${api}/v2/orders?page=2`, { headers }),
        ]
        return { token: await request.accessToken(), bodies: await Promise.all(answers.map((a) => a.json())) }
      }),
  })
  const browser = newBrowser()
  await browser.signIn()

  const { token, bodies } = (await browser.open('/call')).json()
  assert.deepEqual(bodies, [{ ok: true }, { ok: true }])
  const expected = { authorization: `Bearer ${token}`, custom: 'kept' }
  assert.deepEqual(seen, [
    { url: '/v2/orders?page=1', ...expected },
    { url: '/v2/orders?page=2', ...expected },
  ])
})

test('app.bff.fetch sends the token only to an upstream: neither to another URL nor along a redirect', async (t) => {
  const elsewhere: string[] = []
  const other = await startApi(t, ({ headers }, response) => {
    elsewhere.push(headers.authorization ?? '')
    response.end()
  })
  const api = await startApi(t, (_request, response) => response.writeHead(302, { location: other }).end())
  const { newBrowser } = await startApplication(t, {
    bff: {
      upstreams: [
        { prefix: '/api', target: api },
        { prefix: '/open', target: other, token: 'none' },
      ],
    },
    routes(app) {
      app.get('/redirected', async (request) => ({ status: (await app.bff.fetch(request, '/api/x')).status }))
      app.get('/other', async (request) => app.bff.fetch(request, `${other}/`))
    },
  })
  const browser = newBrowser()
  await browser.signIn()

  assert.deepEqual((await browser.open('/redirected')).json(), { status: 302 })
  assert.equal((await browser.open('/other')).statusCode, 500)
  assert.deepEqual(elsewhere, [])
})

test('a call whose token the API refuses is repeated with a renewed one, a stream is not', async (t) => {
  const bodies: string[] = []
  const tokens = new Set<string>()
  const api = await startApi(t, async (request, response) => {
    tokens.add(request.headers.authorization ?? '')
    bodies.push((await request.toArray()).join(''))
    response.writeHead(tokens.size === 1 ? 401 : 200).end()
  })
  const { newBrowser } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: api }] },
    routes(app) {
      app.get('/text', async (request) => {
        const { status } = await app.bff.fetch(request, '/api/x', { method: 'POST', body: 'again' })
        return { status }
      })
      app.get('/stream', async (request) => {
        const body = new Blob(['once']).stream()
        const { status } = await app.bff.fetch(request, '/api/x', { method: 'POST', body })
        return { status }
      })
    },
  })
  const browser = newBrowser()
  await browser.signIn()

  assert.deepEqual((await browser.open('/stream')).json(), { status: 401 })
  assert.deepEqual((await browser.open('/text')).json(), { status: 200 })
  assert.deepEqual(bodies, ['once', 'again', 'again'])
})

test('a call whose API asks for another login is not repeated with a renewed token', async (t) => {
  let calls = 0
  const api = await startApi(t, (request, response) => {
    calls++
    request.resume()
    const challenge = 'Bearer error="insufficient_user_authentication", max_age="60"'
    response.writeHead(401, { 'www-authenticate': challenge }).end()
  })
  const { newBrowser } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: api }] },
    routes(app) {
      app.get('/x', async (request) => ({ status: (await app.bff.fetch(request, '/api/x')).status }))
    },
  })
  const browser = newBrowser()
  await browser.signIn()
  assert.deepEqual((await browser.open('/x')).json(), { status: 401 })
  assert.equal(calls, 1)
})

test('an answer that refused the token is discarded when no other token can be had', async (t) => {
  const released = Promise.withResolvers<void>()
  const api = await startApi(t, (_request, response) => {
    response.once('close', released.resolve)
    // The body never ends.
    response.writeHead(401).write('refused')
  })
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser } = await startApplication(t, {
    issuer,
    bff: { upstreams: [{ prefix: '/api', target: api }] },
    routes: (app) => app.get('/', async (request) => app.bff.fetch(request, '/api/x')),
  })
  const browser = newBrowser()
  await browser.signIn()
  issuer.rewrite('/token', (_answer, ctx) => {
    ctx.status = 400
    ctx.body = { error: 'invalid_grant' }
  })

  assert.equal((await browser.open('/')).json().code, 'BFF_SESSION_ENDED')
  await released.promise
})

test('an API that is down is 502, without its address', async (t) => {
  const port = await freePort()
  const { newBrowser } = await startApplication(t, {
    bff: { upstreams: [{ prefix: '/api', target: `http://127.0.0.1:${port}` }] },
    routes: (app) => app.get('/', async (request) => app.bff.fetch(request, '/api/x')),
  })
  const browser = newBrowser()
  await browser.signIn()

  const answer = await browser.open('/')
  assert.deepEqual([answer.statusCode, answer.json().code], [502, 'BFF_UPSTREAM_UNREACHABLE'])
  assert.ok(!answer.body.includes(String(port)))
})

test('upstreams are proxied for the frontend, as by the stand-alone gateway', async (t) => {
  const api = await startApi(t, ({ url, headers }, response) => {
    response.end(JSON.stringify({ url, hasToken: headers.authorization?.startsWith('Bearer ') }))
  })
  const { newBrowser } = await startApplication(t, { bff: { apiUrl: api } })
  const browser = newBrowser()
  assert.equal((await browser.call('/api/orders')).statusCode, 401)
  await browser.signIn()

  assert.deepEqual((await browser.call('/api/orders')).json(), { url: '/orders', hasToken: true })
  assert.equal((await browser.open('/api/orders')).statusCode, 403)
})

function tellsSubject(app: FastifyInstance): void {
  app.get('/token', async (request) => ({ sub: decodeJwt(await request.accessToken()).sub }))
}

async function startApi(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<string> {
  const server = createServer(answer)
  const port = await listen(server, 0)
  t.after(() => stop(server))
  return `http://localhost:${port}`
}

function clientOf({ issuer, clientId, clientSecret }: DemoIssuer) {
  return { issuer, clientId, clientSecret }
}
