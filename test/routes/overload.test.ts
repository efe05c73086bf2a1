import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify from 'fastify'
import { loadConfig } from '../../config/index.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { buildFrontends } from '../../frontends.ts'
import bff from '../../index.ts'
import { tickMs } from '../../plugins/edge/overload/meter.ts'
import { exchange, startGateway, startUpstream } from '../proxy/support.ts'
import { assertError } from '../support/assert-error.ts'
import { startGateway as startProcess } from '../support/gateway-process.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { sampleValue } from '../support/samples.ts'
import { until } from '../support/until.ts'

test('an overloaded gateway answers everything but its probes with 503, without processing it', async (t) => {
  const upstream = await startUpstream(t)
  let isOverloaded = false
  const { app, log, newBrowser } = await startInjectGateway(t, {
    env: { API_URL: upstream.url },
    extras: { isOverloaded: () => isOverloaded },
  })
  const browser = newBrowser()
  await browser.signIn()
  const linesBefore = log().length
  isOverloaded = true

  for (const path of ['/api/x', '/bff/session', '/bff/login', '/bff/user', '/nowhere']) {
    const answer = await browser.call(path)
    assertError(answer, 503, 'BFF_OVERLOADED')
    assert.equal(answer.headers['retry-after'], '1')
    assert.equal(answer.headers['set-cookie'], undefined)
  }
  assert.equal(upstream.arrivals.length, 0)
  for (const probe of ['/healthz', '/readyz']) assert.equal((await app.inject(probe)).statusCode, 200)
  const lines = log().slice(linesBefore).trim().split('\n')
  assert.equal(lines.filter((line) => line.includes('event_loop.overloaded')).length, 1, lines.join('\n'))
  assert.ok(!lines.some((line) => JSON.parse(line).level >= 50), lines.join('\n'))

  isOverloaded = false
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('an overloaded gateway refuses WebSocket handshakes too', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }], { extras: { isOverloaded: () => true } })
  const answer = await exchange(
    gateway.port,
    [
      'GET /api/socket HTTP/1.1',
      `Host: localhost:${gateway.port}`,
      `Origin: ${gateway.url}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      '\r\n',
    ].join('\r\n'),
  )
  assert.match(answer, /^HTTP\/1\.1 503 /)
  assert.match(answer, /"code":"BFF_OVERLOADED"/)
  assert.equal(upstream.arrivals.length, 0)
})

test('the overload answer has CORS headers for allowed origins only', async (t) => {
  const env = { CORS_ORIGINS: 'https://spa.example.com' }
  const gateway = await startGateway(t, [], { env, extras: { isOverloaded: () => true } })
  for (const [origin, allowed] of [
    ['https://spa.example.com', 'https://spa.example.com'],
    ['https://evil.example', undefined],
  ] as const) {
    const { status, headers } = await gateway.call('/bff/user', { headers: { origin } })
    assert.equal(status, 503)
    assert.equal(headers['access-control-allow-origin'], allowed)
    assert.equal(headers['access-control-allow-credentials'], allowed && 'true')
    assert.equal(headers['vary'], 'Origin')
  }
})

test('a preflight of an allowed origin is answered during an overload, so that the page can read the refusal', async (t) => {
  const upstream = await startUpstream(t)
  const env = { CORS_ORIGINS: 'https://spa.example.com' }
  const gateway = await startGateway(t, [{ target: upstream.url }], {
    env,
    extras: { isOverloaded: () => true },
  })
  const ask = (path: string, headers: Record<string, string>) =>
    gateway.call(path, { method: 'OPTIONS', headers })
  const wanted = { 'access-control-request-method': 'GET', 'access-control-request-headers': 'x-csrf' }

  for (const path of ['/api/x', '/bff/user']) {
    const allowed = await ask(path, { ...wanted, origin: 'https://spa.example.com' })
    assert.equal(allowed.status, 204)
    assert.equal(allowed.headers['access-control-allow-origin'], 'https://spa.example.com')
    assert.equal(allowed.headers['access-control-allow-headers'], 'x-csrf')
    assert.equal((await ask(path, { ...wanted, origin: 'https://evil.example' })).status, 503)
    assert.equal((await ask(path, { origin: 'https://spa.example.com' })).status, 503)
  }
  assert.equal(upstream.arrivals.length, 0)
})

test('refused requests are counted', async (t) => {
  let isOverloaded = true
  const env = { METRICS_PORT: '0', HOST: '127.0.0.1' }
  const gateway = await startGateway(t, [], { env, extras: { isOverloaded: () => isOverloaded } })
  for (let calls = 0; calls < 3; calls++) assert.equal((await gateway.call('/bff/session')).status, 503)
  isOverloaded = false
  await gateway.call('/bff/session')

  const listening = gateway.logs.find(({ event }) => event === 'metrics.listening')
  const url = /http:\S+/.exec(String(listening?.['msg']))?.[0] ?? ''
  const text = await (await fetch(url)).text()
  assert.equal(sampleValue(text, 'bff_event_loop_overloaded_total'), 3)
})

/** An open connection, so that a request on it is read in the next turn of the event loop. */
async function openConnection(t: TestContext, port: number) {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  t.after(() => socket.destroy())
  let received = ''
  socket.on('data', (text) => {
    received += text
  })
  const get = async (path: string) => {
    received = ''
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nx-csrf: 1\r\n\r\n`)
    return until(() => /^HTTP\/1\.1 (\d+) [\s\S]*\}$/.exec(received)?.[1])
  }
  await once(socket, 'connect')
  await get('/healthz')
  return { get }
}

/** Blocks the event loop long enough that its next tick is too late. */
function block(): void {
  for (const until = performance.now() + tickMs + 1050; performance.now() < until; );
}

test('a repeatedly blocked event loop refuses requests, and accepts them as soon as it is on time', async (t) => {
  const gateway = await startGateway(t, [], { extras: { isOverloaded: undefined } })
  const [calls, probes] = [await openConnection(t, gateway.port), await openConnection(t, gateway.port)]
  for (let rounds = 0; rounds < 2; rounds++) {
    block()
    await turn()
    await turn()
  }

  const answers = [calls.get('/bff/session'), probes.get('/healthz')]
  block()
  assert.deepEqual(await Promise.all(answers), ['503', '200'])
  assert.ok(
    gateway.logs.some(({ event, lateMs }) => event === 'event_loop.overloaded' && Number(lateMs) > 1000),
  )

  await until(async () => (await calls.get('/bff/session')) === '200')
})

test("as a plugin the overloaded gateway refuses only its own requests, not the application's", async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  app.get('/own', async () => ({ of: 'the application' }))
  app.get('/healthz', async () => ({}))
  /** Whether the session cookie had been looked at when a request was answered. */
  const lookedAtCookie = new Map<string, boolean>()
  app.addHook('onSend', async ({ url, sealedSession }) => {
    lookedAtCookie.set(url, sealedSession !== null)
  })
  await app.register(bff, {
    publicUrl: 'http://localhost',
    oidc: { issuer: 'http://localhost:9', clientId: 'app' },
    session: { keys: newKey() },
  })
  const port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
  const [ours, own] = [await openConnection(t, port), await openConnection(t, port)]
  for (let rounds = 0; rounds < 2; rounds++) {
    block()
    await turn()
    await turn()
  }

  const answers = [ours.get('/bff/session'), own.get('/own')]
  block()
  assert.deepEqual(await Promise.all(answers), ['503', '200'])
  assert.equal(lookedAtCookie.get('/bff/session'), false)
  assert.equal(lookedAtCookie.get('/own'), true)
})

test('an overload refuses requests of all frontends, and probes still answer', async (t) => {
  const { options } = loadConfig({
    OIDC_ISSUER: 'http://localhost:9',
    OIDC_CLIENT_ID: 'gateway',
    SESSION_KEYS: newKey(),
    LOG_LEVEL: 'silent',
  })
  const desk = {
    ...options,
    publicUrl: new URL('http://localhost:3000/desk'),
    cookie: { ...options.cookie, name: 'desk' },
  }
  const app = buildFrontends([options, desk], { isOverloaded: () => true })
  t.after(() => app.close())
  for (const url of ['/bff/session', '/desk/bff/session', '/nowhere'])
    assertError(await app.inject({ url, headers: { host: 'localhost:3000' } }), 503, 'BFF_OVERLOADED')
  assert.equal((await app.inject('/healthz')).statusCode, 200)
})

test('a process that was stopped once answers the requests that arrived meanwhile', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const gateway = await startProcess(t, { issuer, apiUrl: 'http://localhost:9' })
  const ask = async () => (await fetch(`${gateway.url}/bff/session`, { headers: { 'x-csrf': '1' } })).status
  assert.equal(await ask(), 200)

  for (const stopMs of [800, 2000]) {
    gateway.pause()
    const answers = Promise.all(Array.from({ length: 20 }, ask))
    await new Promise((resolve) => setTimeout(resolve, stopMs))
    gateway.resume()
    assert.deepEqual(new Set(await answers), new Set([200]))
    assert.equal(await ask(), 200)
  }
})

/** A gateway in a process of its own, with a route that takes 20 ms of CPU. */
async function startBusyProcess(t: TestContext): Promise<{ url: string; metricsUrl: string }> {
  const script = join(import.meta.dirname, '../support/fixtures/busy-gateway.ts')
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const urls: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    urls.push(line)
    if (urls.length === 2) break
  }
  const [metricsUrl = '', url = ''] = urls
  return { url, metricsUrl }
}

test('a flood of requests that keep the process busy is refused in part, probes are answered meanwhile, and everything afterwards', async (t) => {
  const { url, metricsUrl } = await startBusyProcess(t)
  const ask = async (path: string) => {
    const answer = await fetch(url + path, { headers: { 'x-csrf': '1' } })
    return { status: answer.status, body: await answer.text(), retryAfter: answer.headers.get('retry-after') }
  }
  assert.equal((await ask('/bff/session')).status, 200)
  let refused = 0
  const client = async () => {
    while (refused === 0) {
      const { status, body, retryAfter } = await ask('/busy')
      if (status === 200) continue
      assert.deepEqual([status, JSON.parse(body).code, retryAfter], [503, 'BFF_OVERLOADED', '1'])
      refused++
    }
  }
  const probe = async () => {
    while (refused === 0) assert.equal((await ask('/healthz')).status, 200)
  }

  await Promise.all([...Array.from({ length: 100 }, client), probe()])

  await until(async () => {
    const { status } = await ask('/bff/session')
    if (status === 503) refused++
    return status === 200
  })
  assert.deepEqual(await ask('/busy'), { status: 200, body: 'done', retryAfter: null })
  const metrics = await (await fetch(metricsUrl)).text()
  assert.equal(sampleValue(metrics, 'bff_event_loop_overloaded_total'), refused)
})
