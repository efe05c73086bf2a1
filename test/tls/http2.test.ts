import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { ClientHttp2Stream } from 'node:http2'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyPluginAsync } from 'fastify'
import { startIssuer } from '../../demo/issuer.ts'
import { errorCode, signIn, startUpstream } from '../proxy/support.ts'
import { closed } from '../support/closed.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { until } from '../support/until.ts'
import { openStream, replyOf, request, startTlsGateway } from './support.ts'

const megabyte = 1024 * 1024
const eventStream = { 'content-type': 'text/event-stream' }

test("an upstream gets no pseudo headers, and the browser's host and scheme", async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const session = await gateway.connect()

  const { status, text } = await request(session, '/api/a%2fb?c=d', { 'x-own': 'kept', te: 'trailers' })

  assert.deepEqual([status, text], [200, 'ok'])
  const [{ method, url, headers } = assert.fail()] = upstream.arrivals
  assert.equal(`${method} ${url}`, 'GET /a%2fb?c=d')
  assert.deepEqual(headers, {
    connection: 'keep-alive',
    host: `127.0.0.1:${upstream.port}`,
    'x-own': 'kept',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-host': `localhost:${gateway.port}`,
    'x-forwarded-prefix': '/api',
    'x-forwarded-proto': 'https',
  })
})

test(':authority counts, whatever a Host header beside it says', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const session = await gateway.connect()

  const own = `localhost:${gateway.port}`
  const other = await request(session, '/api/x', { ':authority': 'evil.example', host: own })
  const right = await request(session, '/api/x', { ':authority': own, host: 'evil.example' })

  assert.deepEqual([other.status, right.status, upstream.arrivals.length], [421, 200, 1])
})

test('an answer has no connection headers of HTTP/1.1', async (t) => {
  const warnings: Error[] = []
  const warn = (warning: Error) => warnings.push(warning)
  process.on('warning', warn)
  t.after(() => process.off('warning', warn))
  const upstream = await startUpstream(t, ({ response }) => {
    const ofConnection = { connection: 'keep-alive, x-hop', 'keep-alive': 'timeout=5', 'x-hop': '1' }
    response.writeHead(200, 'Fine', { ...ofConnection, upgrade: 'h2c', 'http2-settings': 'x', 'x-own': 'ä' })
    response.end('ok')
  })
  const gateway = await startTlsGateway(t, [{ target: upstream.url, responseHeaders: ['x-own', 'x-hop'] }])

  const { headers, text } = await request(await gateway.connect(), '/api/x')

  assert.equal(text, 'ok')
  assert.deepEqual(Object.keys(headers).sort(), [':status', 'cache-control', 'date', 'x-own'])
  assert.equal(headers['x-own'], 'ä')
  assert.deepEqual(warnings, [])
})

test('headers that HTTP/2 allows once only arrive', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.setHeader('x-content-type-options', ['nosniff', 'nosniff'])
    response.setHeader('link', ['<a>', '<b>'])
    response.setHeader('set-cookie', ['a=1', 'b=2'])
    response.setHeader('x-blank', 'x \t')
    response.end('ok')
  })
  const gateway = await startTlsGateway(t, [
    { target: upstream.url, responseHeaders: ['x-blank'], responseCookies: ['a', 'b'] },
  ])

  const { headers } = await request(await gateway.connect(), '/api/x')

  assert.equal(headers['x-content-type-options'], 'nosniff, nosniff')
  assert.equal(headers['link'], '<a>, <b>')
  assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2'])
  assert.equal(headers['x-blank'], 'x')
})

test('a thousand cookies, each in a separate field, are accepted up to 16 KiB, and more get 431', async (t) => {
  const gateway = await startTlsGateway(t, [])
  const session = await gateway.connect()
  const cookies = (count: number, length: number) =>
    Array.from({ length: count }, (_, i) => `${i}=`.padEnd(length, 'x'))

  for (const cookie of [cookies(1000, 14), cookies(2000, 5)]) {
    const { status } = await request(session, '/healthz', { cookie: cookie as never })
    assert.equal(status, 200, `${cookie.length} cookies`)
  }
  const large = await request(session, '/healthz', { cookie: cookies(1200, 14) as never })
  assert.deepEqual([large.status, errorCode(large)], [431, 'BFF_HEADERS_TOO_LARGE'])
})

test('a session cookie is recognised among cookies in several fields', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t)
  const gateway = await startTlsGateway(t, [{ target: upstream.url, token: 'user' }], { issuer })
  const sessionCookie = await signIn(gateway)
  assert.match(sessionCookie, /__Host-bff=/)

  const cookies = ['first=1', ...sessionCookie.split('; '), 'last=2']
  const { status } = await request(await gateway.connect(), '/api/x', { cookie: cookies as never })

  assert.equal(status, 200)
  const { authorization, cookie } = upstream.arrivals[0]?.headers ?? {}
  assert.match(authorization ?? '', /^Bearer /)
  assert.equal(cookie, undefined)
})

test('without a session the error is the same as over HTTP/1.1', async (t) => {
  const gateway = await startTlsGateway(t, [{ target: 'http://127.0.0.1:9', token: 'user' }])
  const session = await gateway.connect()

  const reply = await request(session, '/api/x')

  assert.equal(reply.status, 401)
  assert.equal(errorCode(reply), 'BFF_SESSION_REQUIRED')
  assert.equal(errorCode(await request(session, '/api/x', { 'x-csrf': '0' })), 'BFF_CSRF_REJECTED')
  assert.equal(errorCode(await request(session, '/bff/nowhere')), 'BFF_NOT_FOUND')
})

for (const [what, headers] of Object.entries({
  'of known length': { 'content-length': 6 },
  'without length and type': {},
  'with Expect: 100-continue': { expect: '100-continue' },
  'with an unknown expectation': { expect: 'x' },
})) {
  test(`a body ${what} reaches the upstream`, async (t) => {
    const upstream = await startUpstream(t, async ({ request, response }) => {
      response.end(await buffer(request))
    })
    const gateway = await startTlsGateway(t, [{ target: upstream.url }])

    assert.equal((await request(await gateway.connect(), '/api/x', headers, 'a body')).text, 'a body')
  })
}

test('an upload gets back-pressure while the upstream does not read', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const stream = openStream(await gateway.connect(), '/api/x', { ':method': 'POST' })
  let written = 0
  do {
    written += megabyte
  } while (stream.write(Buffer.alloc(megabyte)) || (await drainedSoon(stream)))
  const [{ request: upload, response } = assert.fail()] = upstream.arrivals
  assert.ok(written < 32 * megabyte, `${written} bytes went on their way`)

  stream.end()
  const body = await buffer(upload)
  response.end(String(body.length))

  assert.equal(body.length, written)
  assert.equal((await replyOf(stream)).text, String(body.length))
})

test('a request whose token the upstream refuses is repeated with a new one, including the body', async (t) => {
  const issuer = await startIssuer({ apiAudience: 'urn:test:api' })
  t.after(() => issuer.close())
  let first: string | undefined
  const upstream = await startUpstream(t, async ({ request, response, headers }) => {
    first ??= headers.authorization
    const body = await buffer(request)
    if (headers.authorization === first) response.writeHead(401).end('no')
    else response.end(body)
  })
  const gateway = await startTlsGateway(t, [{ target: upstream.url, token: 'user' }], { issuer })
  const cookie = await signIn(gateway)

  const headers = { cookie, 'content-length': 6 }
  const { status, text } = await request(await gateway.connect(), '/api/x', headers, 'a body')

  assert.deepEqual([status, text], [200, 'a body'])
  assert.equal(upstream.arrivals.length, 2)
})

test('headers of an event stream arrive before its first event, and each event before the next', async (t) => {
  const upstream = await startUpstream(t, ({ response }) => {
    response.writeHead(200, eventStream).flushHeaders()
  })
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const stream = openStream(await gateway.connect(), '/api/events')

  const [headers] = await once(stream, 'response')
  assert.equal(headers['content-type'], 'text/event-stream')
  const [{ response } = assert.fail()] = upstream.arrivals
  for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
    response.write(event)
    assert.equal(String((await once(stream, 'data'))[0]), event)
  }
})

test("a logout ends the session's event streams, and no other request of the connection", async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, ({ response, url }) => {
    response.writeHead(200, url === '/events' ? eventStream : {}).write('data: 1\n\n')
  })
  const upstreams = [
    { target: upstream.url, token: 'user' as const },
    { prefix: '/open', target: upstream.url },
  ]
  const gateway = await startTlsGateway(t, upstreams, { issuer })
  const cookie = await signIn(gateway)
  const session = await gateway.connect()
  const events = openStream(session, '/api/events', { cookie })
  const other = openStream(session, '/open/slow')
  await Promise.all([once(events, 'data'), once(other, 'data')])
  const [ofEvents, ofOther] = ['/events', '/slow'].map((path) => {
    return upstream.arrivals.find(({ url }) => url === path)?.response as ServerResponse
  })
  const bothClosed = [closed(events), closed(ofEvents as ServerResponse)]

  await request(session, '/bff/logout', { cookie, 'sec-fetch-site': 'same-origin' })

  await Promise.all(bothClosed)
  ofOther?.end('the end')
  assert.equal(String((await once(other, 'data'))[0]), 'the end')
})

const departures: Record<string, (stream: ClientHttp2Stream) => void> = {
  'resets its stream': (stream) => stream.destroy(),
  'closes its connection': (stream) => stream.session?.destroy(),
}

for (const [what, leave] of Object.entries(departures)) {
  test(`a browser that ${what} before the answer aborts the upstream request`, async (t) => {
    const upstream = await startUpstream(t, () => {})
    const gateway = await startTlsGateway(t, [{ target: upstream.url }])
    const stream = openStream(await gateway.connect(), '/api/x')
    const { response } = await upstream.nextArrival()
    const aborted = closed(response)

    leave(stream)

    await aborted
    assert.equal(upstream.arrivals.length, 1)
    assert.deepEqual(errorsOf(gateway.logs), [])
  })

  test(`a browser that ${what} ends an event stream at the upstream`, async (t) => {
    const upstream = await startUpstream(t, ({ response }) => {
      response.writeHead(200, eventStream).write('data: 1\n\n')
    })
    const gateway = await startTlsGateway(t, [{ target: upstream.url }])
    const stream = openStream(await gateway.connect(), '/api/events')
    await once(stream, 'data')
    const [{ response } = assert.fail()] = upstream.arrivals
    const ended = closed(response)

    leave(stream)

    await ended
    assert.equal(response.writableFinished, false)
  })

  for (const headers of [{}, { 'content-length': 1000 }]) {
    const length = 'content-length' in headers ? 'known' : 'unknown'
    test(`a browser that ${what} during an upload of ${length} length aborts it at the upstream`, async (t) => {
      const upstream = await startUpstream(t, ({ request }) => request.on('error', () => {}))
      const gateway = await startTlsGateway(t, [{ target: upstream.url }])
      const stream = openStream(await gateway.connect(), '/api/x', { ':method': 'POST', ...headers })
      stream.write('half')
      const { request: upload } = await upstream.nextArrival()
      await once(upload, 'data')
      const gone = closed(upload)

      leave(stream)

      await gone
      assert.equal(upload.complete, false)
      assert.deepEqual(errorsOf(gateway.logs), [])
    })
  }

  test(`if a browser ${what} while its body is buffered for a replay the upstream gets nothing`, async (t) => {
    const issuer = await startIssuer()
    t.after(() => issuer.close())
    const upstream = await startUpstream(t)
    const gateway = await startTlsGateway(t, [{ target: upstream.url, token: 'user' }], { issuer })
    const cookie = await signIn(gateway)
    const session = await gateway.connect()
    const headers = { ':method': 'POST', 'content-length': 1000, cookie }
    const stream = openStream(session, '/api/x', headers)
    stream.write('half')
    const other = await gateway.connect()
    // By then the first has been read as far as possible.
    await request(other, '/healthz')

    leave(stream)

    await request(other, '/healthz')
    assert.equal(upstream.arrivals.length, 0)
    assert.deepEqual(errorsOf(gateway.logs), [])
  })
}

test('if a browser disconnects while its token is renewed the upstream gets nothing', async (t) => {
  const issuer = await startIssuer({ accessTokenLifetime: 600 })
  t.after(() => issuer.close())
  const upstream = await startUpstream(t)
  const clock = createFakeClock(Date.now())
  const upstreams = [{ target: upstream.url, token: 'user' as const }]
  const gateway = await startTlsGateway(t, upstreams, { issuer, extras: { clock } })
  const cookie = await signIn(gateway)
  const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  issuer.provider.use(async (ctx, next) => {
    if (ctx.path === '/token') asked.resolve()
    if (ctx.path === '/token') await answer.promise
    await next()
  })
  await clock.advance(600_000)
  const session = await gateway.connect()
  const stream = openStream(session, '/api/x', { cookie })
  await asked.promise

  stream.destroy()
  await request(session, '/healthz')
  answer.resolve()

  await until(() => gateway.logs.some(({ event }) => event === 'token.renewal.done'))
  await request(session, '/healthz')
  assert.equal(upstream.arrivals.length, 0)
})

test('a partial body is never treated as complete, in local routes either', async (t) => {
  const handled: unknown[] = []
  const localRoutes: FastifyPluginAsync = async (app) => {
    app.post('/local/note', async ({ body }) => handled.push(body))
  }
  const gateway = await startTlsGateway(t, [], { extras: { localRoutes } })
  const session = await gateway.connect()
  const note = { ':method': 'POST', 'content-type': 'text/plain' }
  const stream = openStream(session, '/local/note', note)
  stream.write('half')
  await request(session, '/healthz')

  stream.destroy()

  await request(session, '/healthz')
  await request(session, '/local/note', note, 'whole')
  assert.deepEqual(handled, ['whole'])
})

for (const headers of [{}, { 'content-length': 100 }]) {
  test(`an aborted answer is never treated as complete: ${JSON.stringify(headers)}`, async (t) => {
    const upstream = await startUpstream(t, ({ response }) => {
      response.writeHead(200, headers).write('half')
    })
    const gateway = await startTlsGateway(t, [{ target: upstream.url }])
    const stream = openStream(await gateway.connect(), '/api/x')
    const reply = replyOf(stream)
    await once(stream, 'response')

    upstream.arrivals[0]?.response.destroy()

    await assert.rejects(reply)
    // INTERNAL_ERROR
    assert.equal(stream.rstCode, 2)
  })
}

test('many requests share a connection, up to a hundred at a time', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startTlsGateway(t, [{ target: upstream.url }])
  const session = await gateway.connect()

  const replies = await Promise.all(Array.from({ length: 250 }, () => request(session, '/api/x')))

  assert.deepEqual([...new Set(replies.map(({ status }) => status))], [200])
  assert.equal(session.remoteSettings.maxConcurrentStreams, 100)
  assert.equal(gateway.sockets.length, 1)
})

/** Whether a full stream drains soon. */
async function drainedSoon(stream: ClientHttp2Stream): Promise<boolean> {
  const drained = once(stream, 'drain').then(() => true)
  return Promise.race([drained, wait(300, false)])
}

/** Log lines of level error. */
function errorsOf(logs: Record<string, unknown>[]) {
  return logs.filter(({ level }) => Number(level) >= 50)
}
