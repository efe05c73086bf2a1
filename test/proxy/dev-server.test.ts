import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { type Answer, errorCode, ok, signIn, startGateway, startUpstream, unreachableUrl } from './support.ts'
import { cert, startTlsApi } from './tls-support.ts'

const page = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'none' }

async function start(t: TestContext, answer: Answer = ok, env: Record<string, string> = {}, path = '') {
  const frontend = await startUpstream(t, answer)
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const api = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: api.url, token: 'user' }], {
    issuer,
    env: { FRONTEND_URL: frontend.url + path, ...env },
  })
  return { frontend, api, gateway }
}

test('other paths than the gateway’s own go to the development server, with path and query unchanged', async (t) => {
  const { frontend, gateway } = await start(t)
  const urls = [
    '/',
    '/orders/7?tab=a%2Fb&x',
    '/@vite/client',
    '/src/App.vue?vue&type=style&lang.css',
    '/a%2Fb',
  ]
  for (const url of urls) {
    const { status, text } = await gateway.call(url)
    assert.deepEqual([status, text], [200, 'ok'], url)
  }
  const posted = await gateway.call('/form', { method: 'POST', body: 'a=1', headers: { 'x-csrf': [] } })
  assert.equal(posted.status, 200)
  assert.deepEqual(
    frontend.arrivals.map(({ method, url }) => `${method} ${url}`),
    [...urls.map((url) => `GET ${url}`), 'POST /form'],
  )
})

test('a development server with a certificate of its own is trusted by FRONTEND_CA_FILE, and not without it', async (t) => {
  const { url } = await startTlsApi(t)
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-ca-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const caFile = join(folder, 'ca.pem')
  writeFileSync(caFile, cert)
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  for (const [ca, status] of [
    [{ FRONTEND_CA_FILE: caFile }, 200],
    [{}, 502],
  ] as const) {
    const gateway = await startGateway(t, [], { issuer, env: { FRONTEND_URL: url, ...ca } })
    assert.equal((await gateway.call('/', { headers: page })).status, status)
  }
})

test('the gateway’s own paths do not reach the development server', async (t) => {
  const { frontend, api, gateway } = await start(t, ok, { CORS_ORIGINS: 'https://other.example' })
  const cookie = await signIn(gateway)
  // The redirect led to its page.
  frontend.arrivals.length = 0
  const statuses: [path: string, status: number][] = [
    ['/healthz', 200],
    ['/readyz', 200],
    ['/bff/user', 200],
    ['/bff/unknown', 404],
    ['/bff/login', 302],
    ['/api/orders', 200],
  ]
  for (const [path, status] of statuses) {
    assert.equal((await gateway.call(path, { headers: { cookie } })).status, status, path)
  }
  assert.equal((await gateway.call('/api/orders', { headers: { cookie, 'x-csrf': '0' } })).status, 403)
  assert.equal(api.arrivals.length, 1)

  const preflight = { origin: 'https://other.example', 'access-control-request-method': 'GET' }
  for (const path of ['/bff/user', '/api/orders']) {
    const { status, headers } = await gateway.call(path, { method: 'OPTIONS', headers: preflight })
    assert.deepEqual([status, headers['access-control-allow-origin']], [204, preflight.origin])
  }
  assert.equal(frontend.arrivals.length, 0)
})

test('the development server gets neither cookie, token nor CSRF header, even if it answers 401', async (t) => {
  const refuse: Answer = ({ response }) => response.writeHead(401).end('Unauthorized')
  for (const REQUIRE_LOGIN of ['false', 'true']) {
    const { frontend, gateway } = await start(t, refuse, { REQUIRE_LOGIN })
    const cookie = await signIn(gateway)
    const headers = { cookie: `${cookie}; other=1`, authorization: 'Bearer of-the-browser', 'x-other': '1' }
    assert.equal((await gateway.call('/', { headers })).status, 401)

    // The login led to its page too.
    assert.equal(frontend.arrivals.length, 2)
    assert.equal(frontend.arrivals[1]?.headers['x-other'], '1')
    assert.equal(frontend.arrivals[1]?.headers.host, new URL(frontend.url).host)
    for (const arrival of frontend.arrivals) {
      for (const name of ['cookie', 'authorization', 'x-csrf'])
        assert.equal(arrival.headers[name], undefined, name)
    }
  }
})

test("pages of the development server keep its own security headers only, and it can't set cookies", async (t) => {
  const { gateway } = await start(t, ({ response }) => {
    response.setHeader('x-own', '1')
    response.setHeader('cache-control', 'no-cache')
    response.setHeader('set-cookie', ['bff=stolen', 'other=1'])
    response.end('<script>inline()</script>')
  })
  const { headers } = await gateway.call('/', { headers: page })
  assert.equal(headers['x-own'], '1')
  assert.equal(headers['set-cookie'], undefined)
  assert.match(String(headers['cache-control']), /no-cache/)
  const ours = ['content-security-policy', 'x-frame-options', 'cross-origin-opener-policy']
  for (const name of ours) assert.equal(headers[name], undefined, name)
})

test('with a base path the development server gets paths and redirects below it', async (t) => {
  const redirect: Answer = ({ url, response }) =>
    response.writeHead(302, { location: url === '/app/' ? '/app/home' : '/app/' }).end()
  const { frontend, gateway } = await start(t, redirect, {}, '/app')
  assert.equal((await gateway.call('/old')).headers.location, '/')
  assert.equal((await gateway.call('/')).headers.location, '/home')
  assert.deepEqual(
    frontend.arrivals.map(({ url }) => url),
    ['/app/old', '/app/'],
  )
})

test('requests with another host name do not reach the development server', async (t) => {
  const { frontend, gateway } = await start(t)
  const refused = await gateway.call('/src/secret.ts', { headers: { host: `evil.example:${gateway.port}` } })
  assert.deepEqual([refused.status, errorCode(refused)], [403, 'BFF_CSRF_REJECTED'])
  assert.equal(frontend.arrivals.length, 0)
})

test('an unreachable development server is reported, as a page to navigations', async (t) => {
  const target = await unreachableUrl()
  const gateway = await startGateway(t, [], { env: { FRONTEND_URL: target } })
  const shown = await gateway.call('/', { headers: page })
  assert.equal(shown.status, 502)
  assert.match(shown.text, /FRONTEND_URL, could not be reached: is it running\?/)
  assert.ok(!shown.text.includes(new URL(target).port))

  const script = await gateway.call('/main.js', { headers: { accept: '*/*' } })
  assert.deepEqual([script.status, errorCode(script)], [502, 'BFF_UPSTREAM_UNREACHABLE'])
})

test('its WebSocket is for pages of our own origin, and for signed-in users where a login is required', async (t) => {
  const server = createServer((_request, response) => response.end('ok'))
  const handshakes: IncomingMessage[] = []
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket, request) => {
    handshakes.push(request)
    socket.on('message', (data) => socket.send(data))
  })
  const FRONTEND_URL = `http://127.0.0.1:${await listen(server, 0)}`
  const issuer = await startIssuer()
  t.after(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await stop(server)
    await issuer.close()
  })
  const open = (port: number, headers: Record<string, string>) => {
    const socket = new WebSocket(`ws://localhost:${port}/?token=abc`, ['vite-hmr'], { headers })
    socket.on('error', () => {})
    return socket
  }
  const refusal = async (socket: WebSocket) => {
    const opened = once(socket, 'open').then(() => assert.fail('It was not refused'))
    const refused = once(socket, 'unexpected-response')
    const [, response] = (await Promise.race([refused, opened])) as [unknown, IncomingMessage]
    opened.catch(() => {})
    response.resume()
    return response.statusCode
  }

  for (const REQUIRE_LOGIN of ['false', 'true']) {
    const gateway = await startGateway(t, [], { issuer, env: { FRONTEND_URL, REQUIRE_LOGIN } })
    const cookie = await signIn(gateway)
    for (const origin of ['https://evil.example', 'null', `http://localhost:1`]) {
      assert.equal(await refusal(open(gateway.port, { cookie, origin })), 403, origin)
    }
    assert.equal(await refusal(open(gateway.port, { cookie })), 403)
    if (REQUIRE_LOGIN === 'true') {
      assert.equal(await refusal(open(gateway.port, { origin: gateway.url })), 401)
    }

    const socket = open(gateway.port, { cookie, origin: gateway.url })
    await once(socket, 'open')
    socket.send('hello')
    const [text] = await once(socket, 'message')
    assert.deepEqual([String(text), socket.protocol], ['hello', 'vite-hmr'])
    socket.terminate()
    const handshake = handshakes.pop()
    assert.equal(handshake?.url, '/?token=abc')
    assert.deepEqual([handshake?.headers.cookie, handshake?.headers.authorization], [undefined, undefined])
  }
  assert.equal(handshakes.length, 0)
})
