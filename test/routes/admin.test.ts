import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { hashForLog } from '../../plugins/logging/logger.ts'
import { assertError } from '../support/assert-error.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { type InjectGatewayOptions, startInjectGateway } from '../support/inject-gateway.ts'
import { startRedis } from '../support/redis.ts'
import { startCluster } from '../support/redis-topologies.ts'

const token = randomBytes(32).toString('base64url')

async function start(t: TestContext, options: InjectGatewayOptions = {}) {
  const gateway = await startInjectGateway(t, {
    ...options,
    env: { ADMIN_PORT: '0', ADMIN_TOKEN: token, ...options.env },
  })
  const lines = () =>
    gateway
      .log()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  const [{ msg }] = lines().filter(({ event }) => event === 'admin.listening')
  const origin = /http:\S+/.exec(msg)?.[0] ?? assert.fail(msg)
  const call = async (path: string, init: RequestInit = {}) => {
    const headers = { authorization: `Bearer ${token}`, ...init.headers }
    const answer = await fetch(`${origin}${path}`, { ...init, headers })
    const body = await answer.text()
    return {
      status: answer.status,
      headers: answer.headers,
      json: body === '' ? undefined : JSON.parse(body),
    }
  }
  const events = () =>
    lines()
      .map(({ event }) => event)
      .filter((event) => String(event).startsWith('admin.') && event !== 'admin.listening')
  return { ...gateway, origin, call, lines, events }
}

const endAll = {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ confirm: true }),
}

for (const where of ['in memory', 'in Redis']) {
  test(`administrators see and end a user's sessions, each call is logged, ${where}`, async (t) => {
    const redis = where === 'in Redis' ? await startRedis() : undefined
    t.after(() => redis?.close())
    const ended: unknown[] = []
    const { call, newBrowser, lines, events, issuer } = await start(t, {
      env: { ...(redis && { REDIS_URL: redis.url }) },
      extras: { hooks: { onLogout: (...args) => void ended.push(args) } },
    })
    const browsers = [newBrowser(), newBrowser(), newBrowser()] as const
    for (const browser of browsers) await browser.signIn('alice', { 'user-agent': 'A phone' })
    const bob = newBrowser()
    await bob.signIn('bob')
    const own = (await browsers[0].call('/bff/sessions')).json()

    const listed = await call('/sessions?sub=alice')
    assert.equal(listed.headers.get('cache-control'), 'no-store')
    const withoutCurrent = (sessions: { id: string }[]) =>
      sessions.map((session) => ({ ...session, current: false })).sort((a, b) => (a.id < b.id ? -1 : 1))
    assert.deepEqual(withoutCurrent(listed.json), withoutCurrent(own))
    assert.ok(listed.json.every(({ current }: { current: boolean }) => !current))
    assert.deepEqual((await call('/sessions?sub=unknown')).json, [])

    const [{ id }] = own.filter(({ current }: { current: boolean }) => current)
    assert.equal((await call(`/sessions/${id}`, { method: 'DELETE' })).status, 204)
    assert.equal((await browsers[0].call('/bff/user')).statusCode, 401)
    assert.equal((await browsers[1].call('/bff/user')).statusCode, 200)
    const gone = await call(`/sessions/${id}`, { method: 'DELETE' })
    assert.deepEqual([gone.status, gone.json.code], [404, 'BFF_NOT_FOUND'])

    assert.deepEqual((await call('/sessions?sub=alice', { method: 'DELETE' })).json, { ended: 2 })
    for (const browser of browsers) assert.equal((await browser.call('/bff/user')).statusCode, 401)
    assert.equal((await bob.call('/bff/user')).statusCode, 200)

    assert.deepEqual(events(), [
      'admin.sessions.list',
      'admin.sessions.list',
      'admin.session.end',
      'admin.session.end',
      'admin.sessions.end',
    ])
    const [list] = lines().filter(({ event }) => event === 'admin.sessions.list')
    assert.deepEqual(
      [list.level, list.statusCode, list.sub, list.sessions, list.remoteAddress],
      [30, 200, hashForLog('alice'), 3, '127.0.0.1'],
    )
    const ends = lines().filter(({ event }) => event === 'session.ended')
    assert.deepEqual(
      ends.map(({ reason, sessionHash }) => [reason, typeof sessionHash]),
      [
        ['admin', 'string'],
        ['admin', 'string'],
        ['admin', 'string'],
      ],
    )
    assert.deepEqual(ended, [
      [{ issuer: issuer.issuer }, 'admin'],
      [{ issuer: issuer.issuer, subject: 'alice' }, 'admin'],
      [{ issuer: issuer.issuer, subject: 'alice' }, 'admin'],
    ])
  })
}

test('without the token, or with a wrong one, every path is 401 and nothing happens', async (t) => {
  const { origin, newBrowser, call, lines, events } = await start(t)
  const browser = newBrowser()
  await browser.signIn()
  const wrong = [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    `Bearer ${token.slice(0, -1)}`,
    `Bearer ${token}x`,
    `Bearer ${token.toUpperCase()}`,
    `Basic ${Buffer.from(`admin:${token}`).toString('base64')}`,
    token,
  ]
  const requests: [string, RequestInit][] = [
    ['/sessions?sub=alice', {}],
    ['/sessions?sub=alice', { method: 'DELETE' }],
    ['/sessions/x', { method: 'DELETE' }],
    ['/sessions/end-all', endAll],
    ['/status', {}],
    ['/unknown', {}],
  ]
  for (const authorization of wrong) {
    for (const [path, init] of requests) {
      const headers = { ...init.headers, ...(authorization !== undefined && { authorization }) }
      const answer = await fetch(origin + path, { ...init, headers })
      assert.equal(answer.status, 401, `${path} with ${authorization}`)
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer')
      const { requestId, ...body } = (await answer.json()) as Record<string, unknown>
      assert.deepEqual(body, {
        statusCode: 401,
        code: 'BFF_ADMIN_TOKEN_REQUIRED',
        error: 'Token required',
        details: "The administrator's API needs Authorization: Bearer with ADMIN_TOKEN",
      })
    }
  }
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  assert.deepEqual([...new Set(events())], ['admin.refused'])
  assert.equal(events().length, wrong.length * requests.length)
  assert.ok(lines().every((line) => !JSON.stringify(line).includes(token)))
  // The scheme's name is not case-sensitive.
  assert.equal((await call('/status', { headers: { authorization: `bearer ${token}` } })).status, 200)
})

test('users are found while the issuer has never been reached', async (t) => {
  const issuer = await startFaultyIssuer()
  await issuer.close()
  const { call } = await start(t, { issuer })

  const listed = await call('/sessions?sub=alice')
  assert.deepEqual([listed.status, listed.json], [200, []])
  assert.equal((await call('/sessions?sub=alice', { method: 'DELETE' })).status, 200)
})

test('on the public port there is no such API, with and without the token', async (t) => {
  const { app, newBrowser } = await start(t)
  await newBrowser().signIn()
  const authorization = `Bearer ${token}`
  for (const [method, url] of [
    ['GET', '/sessions?sub=alice'],
    ['DELETE', '/sessions?sub=alice'],
    ['POST', '/sessions/end-all'],
    ['GET', '/status'],
  ] as const)
    assertError(await app.inject({ method, url, headers: { authorization } }), 404, 'BFF_NOT_FOUND')
  assertError(
    await app.inject({ url: '/bff/sessions', headers: { authorization, 'x-csrf': '1' } }),
    401,
    'BFF_SESSION_REQUIRED',
    { loginUrl: '/bff/login' },
  )
})

test('the public API of users is not on the port of administrators, and other requests are refused', async (t) => {
  const { call } = await start(t)
  for (const [path, init, status, code] of [
    ['/bff/sessions', {}, 404, 'BFF_NOT_FOUND'],
    ['/healthz', {}, 404, 'BFF_NOT_FOUND'],
    ['/sessions', {}, 400, 'BFF_INVALID_PARAMETER'],
    ['/sessions?sub=', { method: 'DELETE' }, 400, 'BFF_INVALID_PARAMETER'],
    ['/sessions?sub=a&sub=b', { method: 'DELETE' }, 400, 'BFF_INVALID_PARAMETER'],
    ['/sessions/end-all', { method: 'POST' }, 400, 'BFF_INVALID_PARAMETER'],
    ['/sessions/end-all', { ...endAll, body: '{"confirm":"true"}' }, 400, 'BFF_INVALID_PARAMETER'],
    ['/sessions/end-all', { ...endAll, body: '[]' }, 400, 'BFF_INVALID_PARAMETER'],
  ] as [string, RequestInit, number, string][]) {
    const answer = await call(path, init)
    assert.deepEqual([answer.status, answer.json.code], [status, code], path)
  }
})

test('status tells version, uptime, store, issuer and how many sessions there are', async (t) => {
  const { call, newBrowser, issuer } = await start(t)
  for (const user of ['alice', 'bob']) await newBrowser().signIn(user)
  const { json } = await call('/status')
  assert.match(json.version, /^\d+\.\d+\.\d+/)
  assert.ok(json.uptime >= 0)
  assert.deepEqual(json.store, { type: 'memory', ready: true, warnings: [] })
  assert.equal(new URL(json.issuer.url).href, new URL(issuer.issuer).href)
  assert.equal(json.issuer.metadataKnown, true)
  assert.deepEqual(json.counts, { sessions: 2 })
})

for (const [name, startStore] of [
  ['a single Redis', startRedis],
  ['every master of a Cluster', startCluster],
] as const) {
  test(`end-all ends thousands of sessions on ${name}, and no others' data`, async (t) => {
    const redis = await startStore()
    t.after(() => redis.close())
    const env = { REDIS_URL: redis.url }
    const { call, app, newBrowser, lines } = await start(t, { env })
    const other = await startInjectGateway(t, { env })
    const [alice, bob] = [newBrowser(), other.newBrowser()]
    await alice.signIn()
    // At a gateway of another application, with keys of its own.
    await bob.signIn('bob')
    const [login] = [
      {
        issuer: 'https://x',
        sid: 's',
        claims: {},
        tokenSet: { accessToken: 'a', tokenType: 'bearer', obtainedAt: 0 },
      },
    ]
    const subjects = Array.from({ length: 2000 }, (_, i) => `user ${i}`)
    for (let i = 0; i < subjects.length; i += 100)
      await Promise.all(
        subjects.slice(i, i + 100).map((subject) => app.sessions.create({ ...login, subject })),
      )

    const before = await call('/status')
    assert.equal(before.json.store.type, 'redis')
    const { status, json } = await call('/sessions/end-all', endAll)
    assert.deepEqual([status, json], [200, { ended: 2001 }])

    assert.equal((await alice.call('/bff/user')).statusCode, 401)
    assert.equal((await bob.call('/bff/user')).statusCode, 200)
    assert.deepEqual((await call('/sessions/end-all', endAll)).json, { ended: 0 })
    const ends = lines().filter(({ event, reason }) => event === 'session.ended' && reason === 'admin')
    assert.equal(new Set(ends.map(({ sessionHash }) => sessionHash)).size, 2001)
    assert.equal(ends.length, 2001)
  })
}
