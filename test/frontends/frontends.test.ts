import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { loadConfig } from '../../config/index.ts'
import type { DemoIssuer } from '../../demo/issuer.ts'
import { listen, stop } from '../../demo/listen.ts'
import { buildFrontends } from '../../frontends.ts'
import { assertError } from '../support/assert-error.ts'
import { createDevice, offeredChallenge, post, registerPath } from '../support/device.ts'
import { type FaultyIssuer, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { freePort } from '../support/free-port.ts'
import { createInjectBrowser, type InjectBrowser } from '../support/inject-browser.ts'
import { newKey } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'
import { sampleValue } from '../support/samples.ts'
import { fakeFiles } from '../unit/config/support.ts'

const byHost = ['http://shop.localhost:3000', 'http://desk.localhost:3000'] as const
const byPath = ['http://localhost:3000/shop', 'http://localhost:3000/desk'] as const

for (const [how, urls] of [
  ['host', byHost],
  ['path', byPath],
] as const) {
  test(`two frontends that differ in ${how} sign in at their own issuers, as their own clients`, async (t) => {
    const { issuers, browsers } = await start(t, urls)
    const [shop, desk] = browsers

    const atShop = await shop.beginLogin()
    const atDesk = await desk.beginLogin()
    assert.deepEqual([atShop.origin, atShop.searchParams.get('client_id')], [issuers[0].issuer, 'shop'])
    assert.deepEqual([atDesk.origin, atDesk.searchParams.get('client_id')], [issuers[1].issuer, 'desk'])
    assert.equal(atShop.searchParams.get('redirect_uri'), `${urls[0]}/bff/callback`)

    await shop.signIn('alice')
    await desk.signIn('bob')
    assert.equal(await userOf(shop), 'alice')
    assert.equal(await userOf(desk), 'bob')
  })

  test(`two frontends that differ in ${how} have their own upstreams`, async (t) => {
    const apis = [await startApi(t, 'goods'), await startApi(t, 'tickets')]
    const { browsers } = await start(t, urls, (index) => ({
      upstreams: [{ prefix: '/api', target: apis[index] }],
    }))

    const answers = []
    for (const browser of browsers) {
      await browser.signIn()
      answers.push((await browser.call(browser.path('/api/list?page=1'))).json())
    }
    const [goods, tickets] = answers
    assert.deepEqual([goods.api, goods.url], ['goods', '/list?page=1'])
    assert.deepEqual([tickets.api, tickets.url], ['tickets', '/list?page=1'])
    assert.notEqual(goods.authorization, tickets.authorization)
  })
}

test('each frontend binds its own sessions, or none', async (t) => {
  const urls = ['https://localhost:3000/shop', 'https://localhost:3000/desk'] as const
  const session = (index: number) => ({ session: { binding: index === 0 ? 'auto' : 'off' } })
  const { browsers } = await start(t, urls, session)
  const [shop, desk] = browsers
  const login = await shop.signIn()
  const challenge = offeredChallenge(login) ?? assert.fail('No registration is offered')
  assert.match(
    String(login.headers['secure-session-registration']),
    /path="\/shop\/bff\/device-bound\/register"/,
  )
  const jwt = await (await createDevice()).registration(challenge)
  const registration = { 'secure-session-response': jwt }

  assert.equal((await post(desk, `/desk${registerPath}`, registration)).statusCode, 404)
  const answer = await post(shop, `/shop${registerPath}`, registration)
  assert.equal(answer.json().credentials[0].name, 'bff-shop-bound')
  assert.equal((await shop.call('/shop/bff/session')).json().bound, true)
  assert.equal(offeredChallenge(await desk.signIn()), undefined)
})

test("administrators see a user's sessions at all frontends, and end them there, users only those at their own", async (t) => {
  const [adminPort, token] = [await freePort(), newKey()]
  const { browsers } = await start(t, byPath, undefined, undefined, { adminPort, adminToken: token })
  const [shop, desk] = browsers
  for (const browser of browsers) await browser.signIn('alice')
  const call = async (path: string, init: RequestInit = {}) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    return (await fetch(`http://127.0.0.1:${adminPort}${path}`, { ...init, headers })).json()
  }

  const listed = (await call('/sessions?sub=alice')) as { id: string; frontend: string }[]
  assert.deepEqual(
    listed.map(({ frontend }) => frontend),
    [...byPath],
  )
  const own = (await shop.call(shop.path('/bff/sessions'))).json()
  assert.deepEqual(
    own.map(({ id }: { id: string }) => id),
    [listed[0]?.id],
  )
  const foreign = await shop.call(shop.path(`/bff/sessions/${listed[1]?.id}`), { method: 'DELETE' })
  assertError(foreign, 404, 'BFF_NOT_FOUND')
  assert.equal(await userOf(desk), 'alice')

  assert.deepEqual(await call('/sessions?sub=alice', { method: 'DELETE' }), { ended: 2 })
  for (const browser of browsers)
    assert.equal((await browser.call(browser.path('/bff/user'))).statusCode, 401)
  for (const browser of browsers) await browser.signIn('alice')
  const endAll = { method: 'POST', body: '{"confirm":true}' }
  assert.deepEqual(await call('/sessions/end-all', endAll), { ended: 2 })
  const { frontends } = (await call('/status')) as { frontends: { publicUrl: string }[] }
  assert.deepEqual(
    frontends.map(({ publicUrl }) => publicUrl),
    [...byPath],
  )
})

test('metrics are labelled by frontend', async (t) => {
  const metricsPort = await freePort()
  const api = await startApi(t, 'shared')
  const upstreams = [{ prefix: '/api', target: api }]
  const { browsers } = await start(t, byPath, () => ({ upstreams }), undefined, { metricsPort })
  const [shop, desk] = browsers
  await shop.signIn()
  await desk.signIn()
  await desk.signIn()
  await desk.call(desk.path('/api/list'))

  const text = await (await fetch(`http://localhost:${metricsPort}/metrics`)).text()
  const value = (name: string, frontend: string, labels = {}) =>
    sampleValue(text, name, { ...labels, frontend })
  assert.deepEqual(
    byPath.map((frontend) => value('bff_sessions_started_total', frontend)),
    [1, 2],
  )
  const ofApi = { upstream: '/api', status: '200' }
  assert.deepEqual(
    byPath.map((frontend) => value('bff_upstream_request_duration_seconds_count', frontend, ofApi)),
    [undefined, 1],
  )
})

test('a session of one frontend is no session at another, with the same keys and cookie name', async (t) => {
  const { app, browsers } = await start(t, byHost, () => ({ cookie: { name: 'same' } }))
  const [shop] = browsers
  await shop.signIn()
  const cookie = shop.cookies.headerFor(new URL(byHost[0])) ?? ''
  assert.match(cookie, /^same=/)

  const at = (host: string) => app.inject({ url: '/bff/user', headers: { host, cookie, 'x-csrf': '1' } })
  assert.equal((await at('shop.localhost:3000')).statusCode, 200)
  assertError(await at('desk.localhost:3000'), 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
})

test('a login that began at one frontend can not be finished at another', async (t) => {
  const { app, browsers } = await start(t, byHost, () => ({ cookie: { name: 'same' } }))
  const [shop] = browsers
  const callback = await shop.authorize(await shop.beginLogin())
  const cookie = shop.cookies.headerFor(new URL(byHost[0])) ?? ''

  const answer = await app.inject({ url: callback, headers: { host: 'desk.localhost', cookie } })
  assert.equal(answer.json().code, 'BFF_LOGIN_REJECTED')
})

test("a logout token for one client does not end another client's sessions at the same issuer", async (t) => {
  const desk = {
    client_id: 'desk',
    client_secret: 'secret of 1',
    redirect_uris: [`${byHost[1]}/bff/callback`],
    response_types: ['code' as const],
    grant_types: ['authorization_code', 'refresh_token'],
  }
  const issuer = await startFaultyIssuer({
    clientId: 'shop',
    clientSecret: 'secret of 0',
    clients: [desk],
  })
  t.after(() => issuer.close())
  const { app, browsers } = await start(t, byHost, () => ({}), [issuer, issuer])
  const [atShop, atDesk] = browsers
  await atShop.signIn()
  await atDesk.signIn()

  const token = await issuer.sign(logoutClaims({ issuer: issuer.issuer, clientId: 'desk' }, { sub: 'alice' }))
  const notify = (host: string) =>
    app.inject({
      method: 'POST',
      url: '/bff/backchannel-logout',
      headers: { host, 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ logout_token: token }).toString(),
    })
  assert.equal((await notify('shop.localhost')).statusCode, 400)
  assert.equal((await notify('desk.localhost')).statusCode, 200)
  assert.equal(await userOf(atShop), 'alice')
  assert.equal((await atDesk.call('/bff/user')).statusCode, 401)
})

test('the frontend with the longest matching path answers, and none for an unknown host', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-frontends-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'index.html'), '<title>the page</title>')
  const urls = ['http://localhost:3000', 'http://localhost:3000/shop'] as const
  const { app, browsers } = await start(t, urls, (index) => (index === 0 ? { staticDir: folder } : {}))
  const [root, shop] = browsers
  await shop.signIn('bob')

  assert.match((await root.open('/deep/link')).body, /the page/)
  assert.match((await root.open('/shopping')).body, /the page/)
  assert.equal(await userOf(shop), 'bob')
  assert.equal((await root.call('/bff/user')).statusCode, 401)
  for (const path of ['/shop', '/shop/', '/shop/deep/link', '/shop/bff/nothing'])
    assert.equal((await root.open(path)).statusCode, 404, path)
  const stranger = await app.inject({ url: '/bff/login', headers: { host: 'other.example.com' } })
  assertError(stranger, 404, 'BFF_NOT_FOUND')
})

test('behind a trusted proxy X-Forwarded-Host selects the frontend, else Host', async (t) => {
  const headers = { host: 'gateway:8080', 'x-forwarded-host': 'forged.example, shop.localhost' }
  for (const [trustProxy, status] of [
    [true, 302],
    [1, 302],
    [['127.0.0.0/8'], 302],
    [['10.0.0.0/8'], 404],
    [false, 404],
  ] as [boolean | number | string[], number][]) {
    const { app } = await start(t, byHost, () => ({}), undefined, { trustProxy })
    assert.equal((await app.inject({ url: '/bff/login', headers })).statusCode, status)
  }
})

test('one pair of probes covers all frontends: ready once every issuer is known', async (t) => {
  const { app, browsers } = await start(t, byHost)
  const ready = () => app.inject('/readyz')

  assert.equal((await app.inject({ url: '/healthz', headers: { host: '10.0.0.1' } })).statusCode, 200)
  assert.deepEqual((await ready()).json(), { status: 'not ready', missing: ['issuer metadata'] })
  await browsers[0].beginLogin()
  assert.equal((await ready()).statusCode, 503)
  await browsers[1].beginLogin()
  assert.equal((await ready()).statusCode, 200)
})

interface Frontends {
  app: FastifyInstance
  issuers: [DemoIssuer, DemoIssuer]
  browsers: [Frontend, Frontend]
}

type Frontend = InjectBrowser & { path(path: string): string }

/** Two frontends, a shop and a desk, with the same keys and one memory store. */
async function start(
  t: TestContext,
  urls: readonly [string, string],
  more: (index: number) => object = () => ({}),
  given?: [FaultyIssuer, FaultyIssuer],
  common: object = {},
): Promise<Frontends> {
  const clientIds = ['shop', 'desk']
  const client = (index: number) => ({ clientId: clientIds[index], clientSecret: `secret of ${index}` })
  const issuers =
    given ??
    ((await Promise.all([0, 1].map((index) => startFaultyIssuer(client(index) as object)))) as [
      FaultyIssuer,
      FaultyIssuer,
    ])
  if (!given) t.after(() => Promise.all(issuers.map((issuer) => issuer.close())))
  const frontends = urls.map((publicUrl, index) => {
    const issuer = issuers[index] as DemoIssuer
    return {
      publicUrl,
      oidc: { issuer: issuer.issuer, ...client(index) },
      cookie: { name: `bff-${clientIds[index]}` },
      ...more(index),
    }
  })
  urls.forEach((url, index) => {
    issuers[index]?.allowGateway(url)
  })
  const file = JSON.stringify({ ...common, session: { keys: newKey() }, logLevel: 'silent', frontends })
  const config = loadConfig({ CONFIG_FILE: '/gateway.json' }, systemFilesAnd(file))
  assert.ok(config.frontends)
  const app = buildFrontends(config.frontends)
  t.after(() => app.close())
  await app.ready()
  const browsers = urls.map((url) => {
    const publicUrl = new URL(url)
    const path = (path: string) => publicUrl.pathname.replace(/\/$/, '') + path
    return { ...createInjectBrowser({ app, publicUrl, path }), path }
  })
  return { app, issuers, browsers: browsers as [Frontend, Frontend] }
}

function systemFilesAnd(text: string) {
  return { ...fakeFiles({ '/gateway.json': text }), isDirectory: () => true }
}

async function userOf(browser: Frontend): Promise<unknown> {
  const claims: { type: string; value: unknown }[] = (await browser.call(browser.path('/bff/user'))).json()
  return claims.find(({ type }) => type === 'sub')?.value
}

async function startApi(t: TestContext, api: string): Promise<string> {
  const server = createServer(({ url, headers: { authorization } }, response) => {
    response.end(JSON.stringify({ api, url, authorization }))
  })
  const port = await listen(server, 0)
  t.after(() => stop(server))
  return `http://localhost:${port}`
}
