import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createFakeClock } from '../support/fake-clock.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import type { InjectBrowser } from '../support/inject-browser.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'
import { redisUrl, startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'

interface ServerEvent {
  event: string
  // biome-ignore lint/suspicious/noExplicitAny: a parsed JSON document
  data: any
}

/** The events of a stream, in order. */
interface Events {
  response: Response
  /** The next event. Rejects when the stream has ended. */
  next(): Promise<ServerEvent>
  /** Resolves when the gateway has ended the stream. */
  ended(): Promise<void>
  close(): void
}

async function openEvents(origin: string, browser: InjectBrowser, headers = {}): Promise<Events> {
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000'))
  const closing = new AbortController()
  const response = await fetch(`${origin}/bff/events`, {
    signal: closing.signal,
    headers: { 'x-csrf': '1', ...(cookie && { cookie }), ...headers },
  })
  const iterator = parse(response)
  return {
    response,
    async next() {
      const { done, value } = await iterator.next()
      return done ? assert.fail('The stream has ended') : value
    },
    async ended() {
      const { done, value } = await iterator.next()
      assert.ok(done, `another event: ${JSON.stringify(value)}`)
    },
    close: () => closing.abort(),
  }
}

async function* parse(response: Response): AsyncGenerator<ServerEvent, undefined> {
  let text = ''
  for await (const chunk of (response.body ?? assert.fail()).pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block)?.[1]
      if (event !== undefined) yield { event, data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? '') }
    }
  }
}

type Gateway = Awaited<ReturnType<typeof startInjectGateway>>

async function listen({ app }: Gateway): Promise<string> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}

/** An API that refuses each token once, so that the gateway renews it. */
async function startStrictApi(t: TestContext): Promise<string> {
  const seen = new Set<string | undefined>()
  const server = createServer(({ headers: { authorization } }, response) => {
    response.statusCode = seen.size > 0 && !seen.has(authorization) ? 200 : 401
    seen.add(authorization)
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Two gateways that share a Redis. */
async function startTwo(t: TestContext, more: Record<string, string> = {}) {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const redis = await redisUrl()
  t.after(() => redis.close())
  const env = { REDIS_URL: redis.url, SESSION_KEYS: newKey(), API_URL: await startStrictApi(t), ...more }
  const [a, b] = [await startInjectGateway(t, { issuer, env }), await startInjectGateway(t, { issuer, env })]
  const signIn = async () => {
    const browser = a.newBrowser()
    await browser.signIn()
    const { sid } = (await browser.call('/bff/session')).json()
    return { browser, sid }
  }
  return { issuer, a, b, signIn, urlOfB: await listen(b) }
}

test('a tab gets the session at once, after a renewal by another gateway, and the reason of its end', async (t) => {
  const { a, urlOfB, signIn } = await startTwo(t)
  const { browser, sid } = await signIn()

  const tab = await openEvents(urlOfB, browser)
  assert.equal(tab.response.headers.get('content-type'), 'text/event-stream')
  assert.equal(tab.response.headers.get('cache-control'), 'no-store')
  const first = await tab.next()
  assert.equal(first.event, 'session')
  const { timestamp: _1, cookieLifetime: _2, accessToken: _3, ...same } = first.data
  const {
    timestamp: _4,
    cookieLifetime: _5,
    accessToken: _6,
    ...view
  } = (await browser.call('/bff/session')).json()
  assert.deepEqual(same, view)
  assert.equal(first.data.accessToken.renewals, 0)

  assert.equal((await browser.call('/api/x')).statusCode, 200)
  const second = await tab.next()
  assert.deepEqual([second.event, second.data.accessToken.renewals], ['session', 1])

  await a.newBrowser().signIn()
  await browser.open(`/bff/logout?sid=${sid}`)
  assert.deepEqual(await tab.next(), { event: 'ended', data: { reason: 'logout' } })
  await tab.ended()
})

test('a notice of the issuer at one gateway ends the streams at the others', async (t) => {
  const { a, issuer, urlOfB, signIn } = await startTwo(t)
  const [one, two] = [await signIn(), await signIn()]
  const tabs = [await openEvents(urlOfB, one.browser), await openEvents(urlOfB, two.browser)]
  for (const tab of tabs) await tab.next()

  const token = await issuer.sign(logoutClaims(issuer, { sub: 'alice' }), { typ: 'logout+jwt' })
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const payload = String(new URLSearchParams({ logout_token: token }))
  await a.app.inject({ method: 'POST', url: '/bff/backchannel-logout', headers, payload })

  for (const tab of tabs)
    assert.deepEqual(await tab.next(), { event: 'ended', data: { reason: 'backchannel_logout' } })
})

test('sessions that their user ends in another browser, or an administrator ends, leave the tabs at other gateways', async (t) => {
  const token = newKey()
  const { a, urlOfB, signIn } = await startTwo(t, { ADMIN_PORT: '0', ADMIN_TOKEN: token })
  const [own, phone, laptop] = [await signIn(), await signIn(), await signIn()]
  const tabs = []
  for (const { browser } of [phone, phone, laptop, own]) {
    const tab = await openEvents(urlOfB, browser)
    await tab.next()
    tabs.push(tab)
  }
  const [ownTab, others] = [tabs[3] ?? assert.fail(), tabs.slice(0, 3)]

  const startedAt = performance.now()
  const answer = await own.browser.call('/bff/sessions', { method: 'DELETE' })
  assert.deepEqual(answer.json(), { ended: 2 })
  for (const tab of others) {
    assert.deepEqual(await tab.next(), { event: 'ended', data: { reason: 'logout' } })
    await tab.ended()
  }
  t.diagnostic(`${Math.round(performance.now() - startedAt)} ms until all tabs knew`)
  // The caches of both gateways have forgotten them, too.
  for (const { browser } of [phone, laptop]) {
    const cookie = browser.cookies.headerFor(new URL('http://localhost:3000')) ?? ''
    const headers = { cookie, 'x-csrf': '1' }
    assert.equal((await fetch(`${urlOfB}/bff/user`, { headers })).status, 401)
    assert.equal((await browser.call('/bff/user')).statusCode, 401)
  }

  const [{ msg }] = a
    .log()
    .split('\n')
    .flatMap((line) => (line.includes('"admin.listening"') ? [JSON.parse(line)] : []))
  const ended = await fetch(`${/http:\S+/.exec(msg)?.[0]}/sessions?sub=alice`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${token}` },
  })
  assert.deepEqual(await ended.json(), { ended: 1 })
  assert.deepEqual(await ownTab.next(), { event: 'ended', data: { reason: 'admin' } })
})

test('pages are told a minute before the session ends, and that it has; listening does not extend it', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startInjectGateway(t, { env: { SESSION_IDLE_TIMEOUT: '10m' }, extras: { clock } })
  const origin = await listen(gateway)
  const browser = gateway.newBrowser()
  await browser.signIn()
  const tab = await openEvents(origin, browser)
  await tab.next()

  await clock.advance(5 * 60_000)
  await browser.call('/bff/user')
  await clock.advance(9 * 60_000 + 1000)
  const { event, data } = await tab.next()
  assert.equal(event, 'expiring')
  assert.ok(data.remainingTime <= 60, JSON.stringify(data))

  await clock.advance(60_000)
  assert.deepEqual(await tab.next(), { event: 'ended', data: { reason: 'idle' } })
  await tab.ended()
})

test('at the end of its lifetime a session ends as that', async (t) => {
  const clock = createFakeClock(Date.now())
  const env = { SESSION_IDLE_TIMEOUT: '10m', SESSION_LIFETIME: '10m' }
  const gateway = await startInjectGateway(t, { env, extras: { clock } })
  const browser = gateway.newBrowser()
  await browser.signIn()
  const tab = await openEvents(await listen(gateway), browser)
  await tab.next()

  await clock.advance(10 * 60_000 + 1000)
  assert.equal((await tab.next()).event, 'expiring')
  assert.deepEqual(await tab.next(), { event: 'ended', data: { reason: 'lifetime' } })
})

test('only the frontend may listen: by the CSRF header or a same-origin EventSource', async (t) => {
  const gateway = await startInjectGateway(t)
  const origin = await listen(gateway)
  const browser = gateway.newBrowser()
  await browser.signIn()
  const status = async (headers: Record<string, string>) => {
    const tab = await openEvents(origin, browser, headers)
    tab.close()
    return tab.response.status
  }

  assert.equal(await status({}), 200)
  assert.equal(await status({ 'x-csrf': '', 'sec-fetch-site': 'same-origin' }), 200)
  assert.equal(await status({ 'x-csrf': '' }), 403)
  assert.equal(await status({ 'x-csrf': '', 'sec-fetch-site': 'same-site' }), 403)
  assert.equal(await status({ 'sec-fetch-site': 'cross-site' }), 403)
  assert.equal(await status({ origin: 'https://evil.example' }), 403)
  assert.equal(await status({ cookie: '' }), 401)
  assert.equal((await browser.call('/bff/events', { method: 'POST' })).statusCode, 405)
  assert.equal((await browser.call('/bff/events', { method: 'HEAD' })).statusCode, 405)
})

test('a session has a limited number of streams, and a closed one makes room', async (t) => {
  const gateway = await startInjectGateway(t, { extras: { limits: { sessionEventStreams: 2 } } })
  const origin = await listen(gateway)
  const [browser, other] = [gateway.newBrowser(), gateway.newBrowser()]
  await browser.signIn()
  await other.signIn()
  const [first] = [await openEvents(origin, browser), await openEvents(origin, browser)]

  const refused = await openEvents(origin, browser)
  assert.deepEqual([refused.response.status, refused.response.headers.get('retry-after')], [429, '5'])
  assert.equal((await openEvents(origin, other)).response.status, 200)

  first?.close()
  await until(async () => (await openEvents(origin, browser)).response.status === 200)
})

test('a client that disconnects before its stream has begun uses none up', async (t) => {
  const redis = await startRedis()
  t.after(() => redis.close())
  const limits = { sessionEventStreams: 1 }
  const gateway = await startInjectGateway(t, { env: { REDIS_URL: redis.url }, extras: { limits } })
  const origin = await listen(gateway)
  const browser = gateway.newBrowser()
  await browser.signIn()
  const received = once(gateway.app.server, 'request')

  redis.pause()
  const aborting = new AbortController()
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000')) ?? ''
  const headers = { 'x-csrf': '1', cookie }
  const aborted = fetch(`${origin}/bff/events`, { headers, signal: aborting.signal })
  aborted.catch(() => {})
  const [, response] = await received
  const closed = once(response, 'close')
  aborting.abort()
  await assert.rejects(aborted)
  await closed
  redis.resume()

  const tab = await openEvents(origin, browser)
  assert.equal(tab.response.status, 200)
  tab.close()
})

test('a gateway that shuts down ends its streams, so that browsers reconnect to another', async (t) => {
  const { b, urlOfB, signIn } = await startTwo(t)
  const { browser } = await signIn()
  const tab = await openEvents(urlOfB, browser)
  await tab.next()

  await b.app.close()

  await tab.ended()
})
