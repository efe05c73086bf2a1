import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { subjectIndex } from '../../plugins/session/session-indexes.ts'
import { closed } from '../support/closed.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { heldBytes, writtenUntilHeld } from './back-pressure.ts'
import {
  type Answer,
  type CallOptions,
  exchange,
  type Gateway,
  goes,
  open,
  publicHost,
  signIn,
  startGateway,
  startUpstream,
  type Upstream,
} from './support.ts'

// A warm request awaits nothing. Each test sends the same requests through that line and through the asynchronous one.

const lines = ['warm', 'slow'] as const
type Line = (typeof lines)[number]

const upstreams = [
  { prefix: '/api', token: 'user' },
  { prefix: '/read', token: 'user', methods: ['GET'] },
  { prefix: '/listed', token: 'user', requestHeaders: ['x-wanted'], requestCookies: ['theme'] },
  { prefix: '/either', token: 'user-or-none' },
  { prefix: '/images', token: 'user', csrf: false },
] as const

const long = 'long'.repeat(75_000)

/** Answers with what rules of headers have to deal with. */
const telling: Answer = async ({ method, url, request, response }) => {
  const body = await buffer(request)
  if (url.endsWith('/empty')) return void response.writeHead(204, { etag: '"a"' }).end()
  if (url.endsWith('/unchanged')) return void response.writeHead(304, { etag: '"a"' }).end()
  if (url.endsWith('/stream')) {
    response.writeHead(200, { 'content-type': 'text/plain' }).write('one ')
    setTimeout(() => response.end('two'), 20)
    return
  }
  if (url.endsWith('/long')) return void response.writeHead(200, { 'content-length': 300_000 }).end(long)
  if (url.endsWith('/chunked')) return void response.writeHead(200).end(long)
  response.writeHead(url.endsWith('/missing') ? 404 : 200, {
    'content-type': 'application/json',
    'set-cookie': ['bff=planted; Path=/', 'other=1'],
    'cache-control': 'public, s-maxage=60, max-age=5',
    server: 'secret',
    'clear-site-data': '"*"',
    vary: 'Accept',
    location: '/elsewhere',
    'x-internal': '1',
  })
  response.end(method === 'HEAD' ? undefined : `{"bytes":${body.length}}`)
}

async function start(t: TestContext, answer: Answer = telling) {
  const issuer = await startIssuer({ accessTokenLifetime: 3600 })
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, answer)
  const clock = createFakeClock(Date.now())
  const target = `${upstream.url}/base`
  const gateway = await startGateway(
    t,
    upstreams.map((each) => ({ ...each, target }) as never),
    { issuer, extras: { clock } },
  )
  const { sessionStore } = gateway.app
  const { peek } = sessionStore
  const reads = t.mock.method(sessionStore, 'read')
  return {
    issuer,
    upstream,
    gateway,
    clock,
    reads: () => reads.mock.callCount(),
    choose(line: Line) {
      sessionStore.peek = line === 'warm' ? peek : () => undefined
    },
  }
}

/** What differs from one request to the next although nothing that matters does. */
const changing = ['date', 'requestId', 'x-request-id']

function withoutChanging(fields: object) {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !changing.includes(name)))
}

/** What the browser and the upstream saw of a request. */
async function seen(
  { gateway, upstream }: { gateway: Gateway; upstream: Upstream },
  path: string,
  options: CallOptions,
) {
  upstream.arrivals.length = 0
  const { status, headers, text } = await gateway.call(path, options)
  const isJson = String(headers['content-type']).startsWith('application/json')
  return {
    status,
    headers: withoutChanging(headers),
    body: isJson && text !== '' ? withoutChanging(JSON.parse(text)) : text,
    arrivals: upstream.arrivals.map(({ method, url, headers: received }) => ({
      method,
      url,
      headers: received,
    })),
  }
}

/** Requests of a signed-in user. `cookie` is that of the session. */
const corpus: Record<string, (cookie: string) => [path: string, options?: CallOptions]> = {
  'a GET': () => ['/api/x?y=1'],
  'a HEAD': () => ['/api/x', { method: 'HEAD' }],
  'an OPTIONS': () => ['/api/x', { method: 'OPTIONS' }],
  'a DELETE': () => ['/api/x', { method: 'DELETE' }],
  'an upload': () => ['/api/x', { method: 'POST', body: 'x'.repeat(1000) }],
  'a long upload': () => ['/api/x', { method: 'PUT', body: Buffer.alloc(300_000) }],
  'an answer without a body': () => ['/api/empty'],
  'an answer that is known': () => ['/api/unchanged', { headers: { 'if-none-match': '"a"' } }],
  'an answer in parts': () => ['/api/stream'],
  'a long answer': () => ['/api/long'],
  'a long answer of unknown length': () => ['/api/chunked'],
  'an error of the upstream': () => ['/api/missing'],
  'no CSRF header': () => ['/api/x', { headers: { 'x-csrf': '' } }],
  'a wrong CSRF header': () => ['/api/x', { headers: { 'x-csrf': '0' } }],
  'no CSRF header where none is needed': () => ['/images/x', { headers: { 'x-csrf': '' } }],
  'another site where no header is needed': () => [
    '/images/x',
    { headers: { 'sec-fetch-site': 'cross-site' } },
  ],
  'a foreign origin': () => ['/api/x', { headers: { origin: 'https://evil.example' } }],
  'a cross-site request': () => ['/api/x', { headers: { 'sec-fetch-site': 'cross-site' } }],
  'another host': () => ['/api/x', { headers: { host: 'evil.example' } }],
  'another host where no session is needed': () => ['/either/x', { headers: { host: 'evil.example' } }],
  'a session where none is needed': () => ['/either/x'],
  'no user where no session is needed': () => ['/either/x', { headers: { cookie: '' } }],
  'a dead cookie where no session is needed': () => ['/either/x', { headers: { cookie: 'bff=dead' } }],
  'a path that leaves the target': () => ['/api/../x'],
  'an escaped path that leaves the target': () => ['/api/%2e%2e/x'],
  'bytes that are no UTF-8': () => ['/api/%e9'],
  'a method that is not allowed': () => ['/read/x', { method: 'POST' }],
  'no cookie': () => ['/api/x', { headers: { cookie: '' } }],
  'a tampered cookie': (cookie) => ['/api/x', { headers: { cookie: cookie.replace(/=..../, '=AAAA') } }],
  'a cookie that was cut': (cookie) => ['/api/x', { headers: { cookie: cookie.slice(0, -10) } }],
  'the same cookie twice': (cookie) => ['/api/x', { headers: { cookie: `${cookie}; ${cookie}` } }],
  'a garbled cookie before it': (cookie) => ['/api/x', { headers: { cookie: `bff=planted; ${cookie}` } }],
  'headers that are not passed on': () => [
    '/api/x',
    {
      headers: {
        authorization: 'Bearer forged',
        'x-forwarded-for': '1.2.3.4',
        x_forwarded_for: '1.2.3.4',
        'x-real-ip': '1.2.3.4',
        connection: 'close, x-private',
        'x-private': '1',
        'x-public': '1',
        te: 'trailers',
        expect: 'nothing',
      },
    },
  ],
  'headers and cookies that are listed': (cookie) => [
    '/listed/x',
    { headers: { cookie: `${cookie}; theme=dark; other=1`, 'x-wanted': '1', 'x-other': '1' } },
  ],
}

test('the warm line and the slow one give the same answers and send the same requests', async (t) => {
  const started = await start(t)
  const { gateway } = started
  const cookie = await signIn(gateway)
  for (const [what, request] of Object.entries(corpus)) {
    const [path, options = {}] = request(cookie)
    const whole = { ...options, headers: { cookie, ...options.headers } }
    started.choose('slow')
    const slow = await seen(started, path, whole)
    started.choose('warm')
    const warm = await seen(started, path, whole)
    assert.deepEqual(warm, slow, what)
  }
})

test('two sessions in one request are none, on either line', async (t) => {
  const started = await start(t)
  const cookies = [await signIn(started.gateway, 'alice'), await signIn(started.gateway, 'bob')]
  for (const line of lines) {
    started.choose(line)
    for (const cookie of cookies)
      assert.equal((await started.gateway.call('/api/x', { headers: { cookie } })).status, 200)
    const both = await seen(started, '/api/x', { headers: { cookie: cookies.join('; ') } })
    assert.deepEqual([both.status, both.arrivals], [401, []], line)
  }
})

test('a warm request asks nothing of the store', async (t) => {
  const { gateway, choose, reads } = await start(t)
  const headers = { cookie: await signIn(gateway) }
  const before = reads()
  choose('warm')
  for (let i = 0; i < 3; i++) assert.equal((await gateway.call('/api/x', { headers })).status, 200)
  assert.equal(reads(), before)
  choose('slow')
  assert.equal((await gateway.call('/api/x', { headers })).status, 200)
  assert.equal(reads(), before + 1)
})

for (const line of lines) {
  test(`a session that has ended or run out is none on the ${line} line, however warm it was`, async (t) => {
    const { issuer, gateway, upstream, clock, choose } = await start(t)
    choose(line)
    const [first, second] = [await signIn(gateway), await signIn(gateway)]
    const call = (cookie: string) => gateway.call('/api/x', { headers: { cookie } })
    for (const cookie of [first, second]) assert.equal((await call(cookie)).status, 200)
    const alices = subjectIndex(issuer.issuer, issuer.clientId, 'alice')
    assert.equal((await gateway.app.sessionStore.destroyBy(alices)).length, 2)
    assert.equal((await call(first)).status, 401)
    const third = await signIn(gateway)
    assert.equal((await call(third)).status, 200)
    await clock.advance(8 * 3_600_000 + 1)
    const before = upstream.arrivals.length
    assert.equal((await call(third)).status, 401)
    assert.equal(upstream.arrivals.length, before)
  })

  test(`a token that is due is renewed behind a request on the ${line} line, and one that has run out before it`, async (t) => {
    const { gateway, upstream, issuer, clock, choose } = await start(t)
    choose(line)
    const headers = { cookie: await signIn(gateway) }
    const call = () => gateway.call('/api/x', { headers })
    const sent = () => upstream.arrivals.at(-1)?.headers.authorization
    await call()
    const original = sent()
    await clock.advance(3_600_000 - 30_000)
    await call()
    assert.equal(sent(), original)
    await gateway.app.userTokens.idle()
    assert.equal(issuer.events.refreshGrants().length, 1)
    await call()
    const renewed = sent()
    assert.notEqual(renewed, original)
    await clock.advance(3_600_000)
    await call()
    assert.notEqual(sent(), renewed)
    assert.equal(issuer.events.refreshGrants().length, 2)
  })

  test(`a browser that goes ends the request on the ${line} line`, async (t) => {
    const { gateway, upstream, choose } = await start(t, () => {})
    choose(line)
    const headers = { cookie: await signIn(gateway) }
    const outgoing = open(gateway.port, '/api/x', { headers })
    outgoing.on('error', () => {}).end()
    const { response } = await upstream.nextArrival()
    const ended = closed(response)
    await goes(gateway, outgoing)
    await ended
  })

  test(`a browser that does not read holds the upstream back on the ${line} line`, async (t) => {
    const { gateway, upstream, choose } = await start(t, () => {})
    choose(line)
    const outgoing = open(gateway.port, '/api/x', { headers: { cookie: await signIn(gateway) } })
    outgoing.on('error', () => {}).end()
    t.after(() => outgoing.destroy())
    const { response } = await upstream.nextArrival()
    response.on('error', () => {}).flushHeaders()
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
    incoming.on('error', () => {}).pause()
    const written = await writtenUntilHeld(response)
    assert.ok(written < heldBytes, `${written} bytes`)
  })

  test(`requests that are pipelined on the ${line} line get their own answers, in order`, async (t) => {
    const { gateway, choose } = await start(t, ({ url, response }) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).end(url)
    })
    choose(line)
    const cookie = await signIn(gateway)
    const head = `Host: ${publicHost(gateway.port)}\r\nx-csrf: 1\r\nCookie: ${cookie}\r\n`
    const answer = await exchange(
      gateway.port,
      `GET /api/1 HTTP/1.1\r\n${head}\r\nGET /api/2 HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
    )
    assert.match(answer, /\/base\/1HTTP\/1\.1 200 OK[\s\S]*\/base\/2$/)
  })
}
