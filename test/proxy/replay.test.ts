import assert from 'node:assert/strict'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { type DemoIssuer, startIssuer } from '../../demo/issuer.ts'
import { closed } from '../support/closed.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { until } from '../support/until.ts'
import {
  type Answer,
  type Arrival,
  errorCode,
  goes,
  holdTokenRequests,
  open,
  signIn,
  startGateway,
  startUpstream,
} from './support.ts'

const lifetime = 600
const refreshBeforeMs = 60_000

/** A user signed in at a gateway in front of two APIs, `/api` and `/other`. */
async function start(t: TestContext, answer: Answer) {
  const issuer = await startIssuer({ apiAudience: 'urn:test:api', accessTokenLifetime: lifetime })
  t.after(() => issuer.close())
  const clock = createFakeClock(Date.now())
  const upstream = await startUpstream(t, answer)
  const gateway = await startGateway(
    t,
    [
      { target: upstream.url, token: 'user' },
      { prefix: '/other', target: upstream.url, token: 'user' },
      { prefix: '/open', target: upstream.url },
    ],
    { issuer, extras: { clock }, env: { REFRESH_BEFORE_EXPIRATION: `${refreshBeforeMs}ms` } },
  )
  const cookie = await signIn(gateway)
  return {
    issuer,
    clock,
    upstream,
    gateway,
    cookie,
    grants: () => issuer.events.refreshGrants().length,
    /** Calls as the signed-in user. */
    call: (path: string, options: Parameters<typeof gateway.call>[1] = {}) =>
      gateway.call(path, { ...options, headers: { cookie, ...options.headers } }),
  }
}

/** Refuses the first token that it got, like an API whose keys have changed. */
function refusingTheFirst(): Answer {
  let first: string | undefined
  return async ({ request, response, headers }) => {
    first ??= headers.authorization
    const body = await buffer(request)
    if (headers.authorization === first) refuse(response)
    else response.end(body.length === 0 ? 'ok' : body)
  }
}

function refuse(response: Arrival['response'], body = 'refused'): void {
  response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"', 'x-refused': '1' }).end(body)
}

for (const method of ['GET', 'HEAD', 'DELETE', 'POST']) {
  test(`${method} whose token is refused is repeated with a renewed one`, async (t) => {
    const { upstream, call, grants } = await start(t, refusingTheFirst())

    const { status, headers } = await call('/api/x?y=1', { method })

    assert.equal(status, 200)
    assert.equal(headers['x-refused'], undefined)
    assert.equal(headers['www-authenticate'], undefined)
    assert.equal(headers['set-cookie'], undefined)
    assert.equal(grants(), 1)
    const [first, second] = upstream.arrivals
    assert.equal(upstream.arrivals.length, 2)
    assert.deepEqual([second?.method, second?.url], [method, '/x?y=1'])
    assert.notEqual(first?.headers.authorization, second?.headers.authorization)
    const { authorization: _, ...others } = first?.headers ?? {}
    const { authorization: __, ...othersAgain } = second?.headers ?? {}
    assert.deepEqual(othersAgain, others)
  })
}

for (const type of ['application/json', 'text/plain', 'application/octet-stream', undefined]) {
  for (const bytes of [0, 1, 64 * 1024]) {
    test(`a body of ${bytes} bytes (${type}) is repeated completely`, async (t) => {
      const { upstream, call, grants } = await start(t, refusingTheFirst())
      const body = Buffer.alloc(bytes, 0xe9)
      const headers = type === undefined ? {} : { 'content-type': type }

      const reply = await call('/api/x', { method: 'POST', body, headers })

      assert.equal(reply.status, 200)
      assert.deepEqual(reply.body, bytes === 0 ? Buffer.from('ok') : body)
      assert.deepEqual([upstream.arrivals.length, grants()], [2, 1])
      for (const arrival of upstream.arrivals) assert.equal(arrival.headers['content-length'], String(bytes))
    })
  }
}

for (const [what, options] of Object.entries({
  'larger than 64 KiB': { body: Buffer.alloc(64 * 1024 + 1) },
  'of unknown length': { body: 'short', chunked: true },
})) {
  test(`a body ${what} is not sent again, but the next request has the renewed token`, async (t) => {
    const { upstream, call, grants } = await start(t, refusingTheFirst())

    const reply = await call('/api/x', { method: 'POST', ...options })

    assert.deepEqual([reply.status, reply.text, upstream.arrivals.length], [401, 'refused', 1])
    assert.equal(reply.headers['www-authenticate'], 'Bearer error="invalid_token"')
    assert.equal((await call('/api/x')).status, 200)
    assert.deepEqual([upstream.arrivals.length, grants()], [2, 1])
  })
}

test('a large upload that is refused unread is answered', async (t) => {
  const { call } = await start(t, ({ response }) => refuse(response))
  const body = Buffer.alloc(5 * 1024 * 1024)
  const { status, text } = await call('/api/x', {
    method: 'POST',
    body,
    headers: { connection: 'keep-alive' },
  })
  assert.deepEqual([status, text], [401, 'refused'])
})

test('20 parallel refused requests cause one grant', async (t) => {
  const parallel = 20
  const held: Arrival[] = []
  const { upstream, call, grants } = await start(t, (arrival) => {
    if (upstream.arrivals.length > parallel) arrival.response.end('ok')
    else held.push(arrival)
    if (held.length === parallel) for (const { response } of held.splice(0)) refuse(response)
  })

  const replies = await Promise.all(Array.from({ length: parallel }, (_, index) => call(`/api/${index}`)))

  assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([200]))
  assert.deepEqual([upstream.arrivals.length, grants()], [2 * parallel, 1])
  const tokens = new Set(upstream.arrivals.slice(parallel).map(({ headers }) => headers.authorization))
  assert.equal(tokens.size, 1)
})

test('a refused token that was replaced meanwhile causes no grant', async (t) => {
  let slow: Arrival | undefined
  const refuseFirst = refusingTheFirst()
  const { upstream, call, grants } = await start(t, (arrival) => {
    if (arrival.url === '/slow' && !slow) slow = arrival
    else refuseFirst(arrival)
  })
  const slowReply = call('/api/slow')
  await upstream.nextArrival()
  assert.equal((await call('/api/fast')).status, 200)
  assert.equal(grants(), 1)

  refuse(slow?.response ?? assert.fail())

  assert.equal((await slowReply).status, 200)
  assert.equal(grants(), 1)
  assert.equal(upstream.arrivals.at(-1)?.url, '/slow')
})

test('an API that refuses every token costs one grant per session, upstream and window', async (t) => {
  const { upstream, gateway, call, grants, clock } = await start(t, ({ request, response, url }) => {
    request.resume()
    refuse(response, `refused ${upstream.arrivals.length} ${url}`)
  })

  const first = await call('/api/x')
  assert.deepEqual([first.status, first.text], [401, 'refused 2 /x'])
  assert.equal(first.headers['www-authenticate'], 'Bearer error="invalid_token"')
  for (let i = 0; i < 3; i++) assert.equal((await call('/api/x')).status, 401)
  await Promise.all([call('/api/y'), call('/api/y'), call('/api/y')])
  assert.deepEqual([upstream.arrivals.length, grants()], [2 + 3 + 3, 1])

  assert.equal((await call('/other/x')).status, 401)
  assert.equal((await call('/other/x')).status, 401)
  assert.deepEqual([upstream.arrivals.length, grants()], [8 + 3, 2])

  const bob = await signIn(gateway, 'bob')
  for (let i = 0; i < 2; i++) await gateway.call('/api/x', { headers: { cookie: bob } })
  assert.deepEqual([upstream.arrivals.length, grants()], [11 + 3, 3])

  await clock.advance(refreshBeforeMs + 1)
  for (let i = 0; i < 2; i++) assert.equal((await call('/api/x')).status, 401)
  assert.deepEqual([upstream.arrivals.length, grants()], [14 + 3, 4])
})

test('a 401 of an upstream without tokens is passed on', async (t) => {
  const { upstream, call, grants } = await start(t, ({ response }) => refuse(response))
  const { status, text } = await call('/open/x')
  assert.deepEqual([status, text, upstream.arrivals.length, grants()], [401, 'refused', 1, 0])
})

test('403 causes no renewal', async (t) => {
  const { upstream, call, grants } = await start(t, ({ response }) => response.writeHead(403).end('no'))
  const { status, text } = await call('/api/x')
  assert.deepEqual([status, text, upstream.arrivals.length, grants()], [403, 'no', 1, 0])
})

test('while the issuer is down the 401 is passed on, and the session stays', async (t) => {
  const { upstream, issuer, call } = await start(t, ({ response, url }) => {
    if (url === '/refused') refuse(response)
    else response.end('ok')
  })
  await issuer.close()

  const refused = await call('/api/refused')

  assert.deepEqual([refused.status, refused.text, upstream.arrivals.length], [401, 'refused', 1])
  assert.equal(refused.headers['set-cookie'], undefined)
  assert.equal((await call('/api/x')).status, 200)
})

test("if the forced renewal ends the session the error says so, and the upstream's answer is closed", async (t) => {
  const endless: Answer = ({ response }) => response.writeHead(401).write('refused')
  const { upstream, issuer, call } = await start(t, endless)
  answerTokenRequests(issuer, 400, { error: 'invalid_grant' })
  const arrival = upstream.nextArrival()

  const reply = call('/api/x')

  const { response } = await arrival
  await closed(response)
  const { status, headers, text } = await reply
  assert.deepEqual([status, errorCode({ text })], [401, 'BFF_SESSION_ENDED'])
  assert.equal(headers['set-cookie'], undefined)
  assert.equal(errorCode(await call('/api/x')), 'BFF_SESSION_REQUIRED')
})

test('the body of a 401 is drained, so that its connection serves the replay', async (t) => {
  const { upstream, call } = await start(t, async ({ request, response }) => {
    await buffer(request)
    if (upstream.arrivals.length === 1) refuse(response, 'x'.repeat(100_000))
    else response.end('ok')
  })
  assert.equal((await call('/api/x')).status, 200)
  assert.deepEqual([upstream.arrivals.length, upstream.connections()], [2, 1])
})

test('an endless body of a 401 does not delay the replay', async (t) => {
  const { upstream, call } = await start(t, ({ response }) => {
    if (upstream.arrivals.length === 1) response.writeHead(401).write('refused')
    else response.end('ok')
  })
  assert.equal((await call('/api/x')).status, 200)
  const [first = assert.fail()] = upstream.arrivals
  await closed(first.response)
})

test('if a browser disconnects during the forced renewal there is no replay, and the next request has the new token', async (t) => {
  const { upstream, gateway, issuer, cookie, call, grants } = await start(t, refusingTheFirst())
  const { arrived, release } = holdTokenRequests(issuer)
  const outgoing = open(gateway.port, '/api/x', { method: 'POST', body: 'body', headers: { cookie } })
  outgoing.on('error', () => {}).end('body')
  await arrived
  await goes(gateway, outgoing)
  release()
  await until(() => gateway.logs.some(({ event }) => event === 'token.renewal.done'))

  assert.equal((await call('/api/y')).status, 200)

  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    ['/x', '/y'],
  )
  assert.equal(grants(), 1)
  assert.deepEqual(faults(gateway.logs), [])
})

test('if a browser disconnects before the forced renewal fails nothing stays open at the upstream', async (t) => {
  const endless: Answer = ({ url, response }) =>
    url === '/y' ? response.end('ok') : response.writeHead(401).write('refused')
  const { upstream, gateway, issuer, cookie, call } = await start(t, endless)
  const { arrived, release } = holdTokenRequests(issuer, 503)
  const outgoing = open(gateway.port, '/api/x', { headers: { cookie } })
  outgoing.on('error', () => {}).end()
  await arrived
  await goes(gateway, outgoing)
  const refused = closed(upstream.arrivals[0]?.response ?? assert.fail())
  release()

  await refused

  assert.equal((await call('/api/y')).status, 200)
  assert.deepEqual(faults(gateway.logs), [])
})

test('if a browser disconnects while its expired token is renewed the upstream gets no request', async (t) => {
  const { upstream, gateway, issuer, cookie, call, clock } = await start(t, ({ response }) =>
    response.end('ok'),
  )
  const { arrived, release } = holdTokenRequests(issuer)
  await clock.advance(lifetime * 1000 - 1000)
  const outgoing = open(gateway.port, '/api/x', { headers: { cookie } })
  outgoing.on('error', () => {}).end()
  await arrived
  await goes(gateway, outgoing)
  const next = call('/api/y')
  release()

  assert.equal((await next).status, 200)

  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    ['/y'],
  )
  assert.deepEqual(faults(gateway.logs), [])
})

test('if a browser disconnects during a short body the upstream gets no request', async (t) => {
  const { upstream, gateway, cookie, call } = await start(t, ({ response }) => response.end('ok'))
  const outgoing = open(gateway.port, '/api/x', {
    method: 'POST',
    headers: { cookie, 'content-length': 10, expect: '100-continue' },
  })
  outgoing.on('error', () => {}).flushHeaders()
  await once(outgoing, 'continue')
  await new Promise((resolve) => outgoing.write('half', resolve))
  await goes(gateway, outgoing)

  assert.equal((await call('/api/y')).status, 200)

  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    ['/y'],
  )
  assert.deepEqual(faults(gateway.logs), [])
})

/** Error lines of the log. */
function faults(logs: Record<string, unknown>[]) {
  return logs.filter(({ level }) => Number(level) >= 50)
}

/** Makes the issuer answer every token request like this. */
function answerTokenRequests({ provider }: DemoIssuer, status: number, body: object): void {
  provider.use(async (ctx, next) => {
    if (ctx.path !== '/token') return next()
    ctx.status = status
    ctx.body = body
  })
}
