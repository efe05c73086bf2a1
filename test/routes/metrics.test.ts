import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { noMetrics } from '../../plugins/observability/metrics.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import {
  type Gateway,
  ok,
  signIn,
  startGateway,
  startTcpUpstream,
  startUpstream,
  unreachableUrl,
} from '../proxy/support.ts'
import { closed } from '../support/closed.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { runServer, sessionKey } from '../support/gateway.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'
import { samplesOf, sampleValue, typesOf } from '../support/samples.ts'
import { until } from '../support/until.ts'

const env = { METRICS_PORT: '0', HOST: '127.0.0.1' }

/** The metrics URL from the log. */
function metricsUrl({ logs }: Gateway): string {
  const line = logs.find(({ event }) => event === 'metrics.listening')
  return /http:\S+/.exec(String(line?.['msg']))?.[0] ?? assert.fail('There are no metrics')
}

async function scrape(gateway: Gateway): Promise<string> {
  return (await fetch(metricsUrl(gateway))).text()
}

test('metrics are served on a port of their own, as Prometheus reads them, and nowhere else', async (t) => {
  const gateway = await startGateway(t, [], { env })
  const url = metricsUrl(gateway)
  assert.notEqual(new URL(url).port, String(gateway.port))

  const answer = await fetch(url)

  assert.equal(answer.status, 200)
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  const text = await answer.text()
  assert.deepEqual(Object.keys(typesOf(text)).toSorted(), [
    'bff_device_bindings_total',
    'bff_event_loop_overloaded_total',
    'bff_http_responses_total',
    'bff_logins_total',
    'bff_sessions_active',
    'bff_sessions_ended_total',
    'bff_sessions_started_total',
    'bff_store_duration_seconds',
    'bff_token_renewal_duration_seconds',
    'bff_token_renewal_waiters',
    'bff_token_renewals_total',
    'bff_upstream_request_duration_seconds',
  ])
  for (const name of [
    'process_cpu_seconds_total',
    'nodejs_heap_size_used_bytes',
    'nodejs_eventloop_lag_seconds',
  ])
    assert.ok(Number(sampleValue(text, name)) >= 0, name)
  assert.equal((await gateway.call('/metrics')).status, 404)
  for (const path of ['/', '/healthz', '/bff/login', '/api/x'])
    assert.equal((await fetch(new URL(path, url))).status, 404, path)
})

test("METRICS_HOST binds metrics to another address than the gateway's", async (t) => {
  const gateway = await startGateway(t, [], { env: { ...env, METRICS_HOST: '127.0.0.2' } })
  const url = metricsUrl(gateway)
  assert.equal(new URL(url).hostname, '127.0.0.2')
  assert.equal((await fetch(url)).status, 200)
  await assert.rejects(fetch(url.replace('127.0.0.2', '127.0.0.1')))
})

test('a scrape is not logged', async (t) => {
  const gateway = await startGateway(t, [], { env: { ...env, LOG_LEVEL: 'trace' } })
  const url = metricsUrl(gateway)
  await fetch(url)
  await fetch(`${url}/unknown`)
  assert.ok(gateway.logs.every(({ reqId }) => reqId === undefined))
})

test('without METRICS_PORT nothing is counted or served', async (t) => {
  const { app, log } = await startInjectGateway(t)
  assert.equal(app.metrics, noMetrics)
  assert.equal((await app.inject('/metrics')).statusCode, 404)
  assert.doesNotMatch(log(), /metrics/)
})

test('each start and end of a session is counted once', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const gateway = await startGateway(t, [], { issuer, env })
  const ended = async (reason: string) =>
    sampleValue(await scrape(gateway), 'bff_sessions_ended_total', { reason })
  assert.equal(sampleValue(await scrape(gateway), 'bff_sessions_started_total'), 0)
  const cookies = []
  for (const user of ['alice', 'alice', 'bob', 'bob', 'bob']) cookies.push(await signIn(gateway, user))
  assert.equal(sampleValue(await scrape(gateway), 'bff_sessions_started_total'), 5)
  const [first, second, third] = cookies

  for (let i = 0; i < 2; i++)
    await gateway.call('/bff/logout', { headers: { cookie: first, 'sec-fetch-site': 'same-origin' } })
  assert.equal(await ended('logout'), 1)

  const { sid } = JSON.parse((await gateway.call('/bff/session', { headers: { cookie: second } })).text)
  const query = new URLSearchParams({ iss: issuer.issuer, sid })
  for (let i = 0; i < 2; i++) await gateway.call(`/bff/frontchannel-logout?${query}`)
  assert.equal(await ended('frontchannel_logout'), 1)
  const ofThird = JSON.parse((await gateway.call('/bff/session', { headers: { cookie: third } })).text)
  await gateway.call(
    `/bff/frontchannel-logout?${new URLSearchParams({ iss: issuer.issuer, sid: ofThird.sid })}`,
    {
      headers: { cookie: third },
    },
  )
  assert.equal(await ended('frontchannel_logout'), 2)

  const token = await issuer.sign(logoutClaims(issuer, { sub: 'bob' }))
  for (let i = 0; i < 2; i++) {
    await gateway.call('/bff/backchannel-logout', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: `logout_token=${token}`,
    })
  }
  assert.equal(await ended('backchannel_logout'), 2)
})

test('a session that another request has just ended is not counted again', async (t) => {
  const { app, newBrowser } = await startInjectGateway(t, { env })
  const browser = newBrowser()
  await browser.signIn()
  const counted = t.mock.method(app.metrics, 'sessionEnded')
  t.mock.method(app.sessionStore, 'destroy', async () => undefined)

  assert.equal((await browser.open('/bff/logout')).statusCode, 302)

  assert.equal(counted.mock.callCount(), 0)
})

test('upstream requests are measured by prefix and status, also without an answer', async (t) => {
  const upstream = await startUpstream(t, (arrival) => {
    arrival.response.statusCode = Number(arrival.url.slice(1))
    ok(arrival)
  })
  const silent = await startTcpUpstream(t, () => {})
  const gateway = await startGateway(
    t,
    [
      { target: upstream.url },
      { prefix: '/down', target: await unreachableUrl() },
      { prefix: '/silent', target: silent.url, timeoutMs: 1000 },
    ],
    { env },
  )
  for (const path of ['/api/200', '/api/200', '/api/404', '/api/500', '/down/x', '/silent/x', '/bff/user'])
    await gateway.call(path)
  await gateway.call('/api/200', { headers: { 'x-csrf': '0' } })

  const name = 'bff_upstream_request_duration_seconds_count'
  const counts = samplesOf(await scrape(gateway))
    .filter((sample) => sample.name === name && sample.value > 0)
    .map(({ labels, value }) => [labels['upstream'], labels['status'], value])
  assert.deepEqual(counts.toSorted(), [
    ['/api', '200', 2],
    ['/api', '404', 1],
    ['/api', '500', 1],
    ['/down', '502', 1],
    ['/silent', '504', 1],
  ])
})

test('WebSockets are measured by the status of their handshake', async (t) => {
  const api = createServer()
  new WebSocketServer({ server: api, path: '/echo' })
  const target = `http://127.0.0.1:${await listen(api, 0)}`
  t.after(() => stop(api))
  const upstreams = [{ target }, { prefix: '/down', target: await unreachableUrl() }]
  const gateway = await startGateway(t, upstreams, { env })
  for (const path of ['/api/echo', '/api/unknown', '/down/echo']) {
    const socket = new WebSocket(`ws://localhost:${gateway.port}${path}`, {
      headers: { origin: gateway.url },
    })
    socket.on('open', () => socket.close()).on('error', () => {})
    await closed(socket)
  }
  await until(async () => {
    const text = await scrape(gateway)
    const count = (upstream: string, status: string) =>
      sampleValue(text, 'bff_upstream_request_duration_seconds_count', { upstream, status })
    assert.deepEqual([count('/api', '101'), count('/api', '400'), count('/down', '502')], [1, 1, 1])
    return true
  })
})

test('store operations are measured by name', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const gateway = await startGateway(t, [], { issuer, env })
  const cookie = await signIn(gateway)
  const count = async (operation: string) =>
    sampleValue(await scrape(gateway), 'bff_store_duration_seconds_count', { operation, outcome: 'ok' })
  assert.deepEqual([await count('addMarker'), await count('create'), await count('read')], [1, 1, 0])

  await gateway.call('/bff/user', { headers: { cookie } })
  await gateway.call('/healthz')

  assert.equal(await count('read'), 1)
})

test('responses are counted by route, and by error code or status class', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }], { env })
  await gateway.call('/api/a')
  await gateway.call('/api/b')
  await gateway.call('/bff/user')
  await gateway.call('/api/x', { headers: { 'x-csrf': '0' } })
  await gateway.call('/nothing/here')

  const counts = samplesOf(await scrape(gateway))
    .filter(({ name, value }) => name === 'bff_http_responses_total' && value > 0)
    .map(({ labels, value }) => [labels['route'], labels['code'], value])
  assert.deepEqual(counts.toSorted(), [
    ['/api/*', '2xx', 2],
    ['/api/*', 'BFF_CSRF_REJECTED', 1],
    ['/bff/user', 'BFF_SESSION_REQUIRED', 1],
    ['none', 'BFF_NOT_FOUND', 1],
  ])
})

test('each route has counters at 0 from the start, and sessions in memory are counted', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url }], { issuer, env })
  const text = await scrape(gateway)
  for (const [route, code] of [
    ['/api/*', '5xx'],
    ['/bff/login', '2xx'],
    ['/bff/user', '4xx'],
  ] as const)
    assert.equal(sampleValue(text, 'bff_http_responses_total', { route, code }), 0, route)
  const unreachable = { upstream: '/api', status: '502' }
  assert.equal(sampleValue(text, 'bff_upstream_request_duration_seconds_count', unreachable), 0)
  assert.equal(sampleValue(text, 'bff_sessions_active'), 0)

  const cookie = await signIn(gateway)
  await signIn(gateway, 'bob')
  assert.equal(sampleValue(await scrape(gateway), 'bff_sessions_active'), 2)
  await gateway.call('/bff/logout', { headers: { cookie, 'sec-fetch-site': 'same-origin' } })
  assert.equal(sampleValue(await scrape(gateway), 'bff_sessions_active'), 1)
})

test('logins are counted by outcome', async (t) => {
  const { app, newBrowser } = await startInjectGateway(t, { env })
  const counted = t.mock.method(app.metrics, 'loginDone')
  const browser = newBrowser()
  await browser.open(await browser.authorize(await browser.beginLogin({ prompt: 'none' })))
  const callback = await browser.authorize(await browser.beginLogin())
  await browser.open(`${callback}x`)
  await browser.signIn()
  t.mock.method(app.sessionStore, 'create', async () => {
    throw new StoreUnavailableError(new Error('down'))
  })
  await browser.signIn()

  assert.deepEqual(
    counted.mock.calls.map(({ arguments: [outcome] }) => outcome),
    ['silent_refused', 'rejected', 'succeeded', 'failed'],
  )
})

test('metrics can be read until the gateway has closed, not afterwards', async (t) => {
  const gateway = await startGateway(t, [], { env })
  const url = metricsUrl(gateway)
  assert.equal((await fetch(url)).status, 200)
  await gateway.close()
  await assert.rejects(fetch(url))
})

test('with a METRICS_PORT in use the process exits with 1 and logs the port', async (t) => {
  const server = createServer()
  const port = await listen(server, 0)
  t.after(() => stop(server))

  const { code, stdout, stderr } = await runServer([], {
    PUBLIC_URL: 'http://localhost:3000',
    HOST: '127.0.0.1',
    PORT: '0',
    METRICS_PORT: String(port),
    // Nothing listens there.
    OIDC_ISSUER: 'http://127.0.0.1:9',
    OIDC_CLIENT_ID: 'gateway',
    SESSION_KEYS: sessionKey,
  })

  assert.equal(code, 1, stderr)
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const fatal = lines.find(({ level }) => level === 60)
  assert.equal(fatal.msg, `Can't listen on 127.0.0.1, port ${port}, for metrics`)
  assert.equal(fatal.err.causes[0].code, 'EADDRINUSE')
  assert.ok(!lines.some(({ msg }) => msg?.startsWith('Server listening')))
})
