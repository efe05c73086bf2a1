import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../app.ts'
import { loadConfig } from '../../config/index.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { startBoundGateway } from '../device-binding/support.ts'
import {
  askToRefresh,
  createDevice,
  post,
  refresh,
  refreshPath,
  register,
  registerPath,
} from '../support/device.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { freePort } from '../support/free-port.ts'
import type { InjectBrowser } from '../support/inject-browser.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'
import { type Answer, documentedAnswers, type Expect, openApi, operations } from './openapi-support.ts'

const withoutIssuer = { OIDC_ISSUER: 'http://127.0.0.1:9', OIDC_CLIENT_ID: 'gateway', OIDC_TIMEOUT: '1s' }

test('docs/openapi.yaml is a valid OpenAPI 3.1 document', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(openApi))
  assert.ok(valid, JSON.stringify(errors, null, 2))
})

test('the document has every endpoint of the gateway, and no others', async (t) => {
  const routes = new Set<string>()
  for (const [OIDC_RESPONSE_MODE, PUBLIC_URL] of [
    ['query', 'http://localhost:3000'],
    ['form_post', 'https://app.example.com'],
  ] as const) {
    const app = buildApp(
      loadConfig({
        ...withoutIssuer,
        OIDC_RESPONSE_MODE,
        PUBLIC_URL,
        SESSION_KEYS: newKey(),
        LOG_LEVEL: 'silent',
      }).options,
    )
    t.after(() => app.close())
    app.addHook('onRoute', ({ method, url }) => {
      if (url.includes('*')) return
      const path = url.replaceAll(/:(\w+)/g, '{$1}')
      for (const name of [method].flat()) if (name !== 'HEAD') routes.add(`${name} ${path}`)
    })
    await app.ready()
  }

  assert.deepEqual(
    [...routes].sort(),
    operations()
      .filter((operation) => operation !== 'GET /metrics')
      .sort(),
  )
})

test('the gateway answers as documented: each status, with its headers and body', async (t) => {
  const { expect, assertAllSeen } = documentedAnswers(operations())
  await expectAnswers(t, expect)
  await expectBindings(t, expect)
  await expectFailures(t, expect)

  assertAllSeen()
})

async function expectAnswers(t: TestContext, expect: Expect): Promise<void> {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const metricsPort = await freePort()
  const { app, newBrowser } = await startInjectGateway(t, {
    issuer,
    env: { METRICS_PORT: String(metricsPort), METRICS_HOST: '127.0.0.1' },
    extras: { limits: { sessionEventStreams: 1 } },
  })
  const [alice, stranger] = [newBrowser(), newBrowser()]
  const withoutHeader = { headers: { 'x-csrf': '', 'sec-fetch-site': 'cross-site' } }

  await expect('GET /healthz', 200, app.inject('/healthz'))
  await expect('GET /readyz', 503, app.inject('/readyz'))

  await expect('GET /bff/login', 302, alice.open('/bff/login?returnUrl=/start&prompt=login'))
  await expect('GET /bff/login', 400, alice.open('/bff/login?returnUrl=https://evil.example'))
  await expect('GET /bff/login', 400, alice.call('/bff/login?max_age=x'))
  await expect('GET /bff/callback', 302, alice.signIn())
  await expect('GET /bff/callback', 400, stranger.open('/bff/callback?code=x&state=y'))
  await expect('GET /readyz', 200, app.inject('/readyz'))

  const frame = { 'sec-fetch-dest': 'iframe', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'same-origin' }
  await expect('GET /bff/silent-login', 302, alice.open('/bff/silent-login', frame))
  await expect('GET /bff/silent-login', 400, alice.open('/bff/silent-login', { 'sec-fetch-mode': 'cors' }))
  await expect(
    'GET /bff/silent-login',
    403,
    alice.open('/bff/silent-login', { ...frame, 'sec-fetch-site': 'cross-site' }),
  )
  await expect('GET /bff/silent-login-callback', 200, alice.open('/bff/silent-login-callback', frame))

  await expect('GET /bff/user', 200, alice.call('/bff/user?slide=false'))
  for (const method of ['GET', 'POST'] as const) {
    await expect(`${method} /bff/session`, 200, alice.call('/bff/session', { method }))
    await expect(`${method} /bff/session`, 200, stranger.call('/bff/session', { method }))
    await expect(`${method} /bff/session`, 403, alice.call('/bff/session', { method, ...withoutHeader }))
  }
  await expect('GET /bff/diagnostics', 200, alice.call('/bff/diagnostics'))
  await expectSessions(alice, newBrowser, expect)
  await expectEvents(app, alice, expect)
  for (const path of ['/bff/user', '/bff/diagnostics', '/bff/events']) {
    await expect(`GET ${path}`, 401, stranger.call(path))
    await expect(`GET ${path}`, 403, stranger.call(path, withoutHeader))
  }

  const metrics = await fetch(`http://127.0.0.1:${metricsPort}/metrics`)
  await expect('GET /metrics', 200, await answerOf(metrics))

  const notice = async (logoutToken: string) =>
    app.inject({ method: 'POST', url: '/bff/backchannel-logout', ...form({ logout_token: logoutToken }) })
  const sign = () => issuer.sign(logoutClaims(issuer, { sub: 'bob' }), { typ: 'logout+jwt' })
  await expect('POST /bff/backchannel-logout', 200, notice(await sign()))
  await expect('POST /bff/backchannel-logout', 400, notice('x'))
  const destroyBy = t.mock.method(app.sessionStore, 'destroyBy', unavailable)
  await expect('POST /bff/backchannel-logout', 503, notice(await sign()))
  destroyBy.mock.restore()

  const { sid } = (await alice.call('/bff/session')).json()
  await expect('GET /bff/frontchannel-logout', 400, stranger.open('/bff/frontchannel-logout?sid=x'))
  await expect('GET /bff/frontchannel-logout', 200, stranger.open(`/bff/frontchannel-logout?sid=${sid}`))
  await expectLogouts(t, app, newBrowser, expect)
}

async function expectSessions(
  browser: InjectBrowser,
  newBrowser: () => InjectBrowser,
  expect: Expect,
): Promise<void> {
  const [other, stranger] = [newBrowser(), newBrowser()]
  await other.signIn()
  const list = await browser.call('/bff/sessions')
  await expect('GET /bff/sessions', 200, list)
  const { id } = list.json().find(({ current }: { current: boolean }) => !current)
  await expect('DELETE /bff/sessions/{id}', 204, browser.call(`/bff/sessions/${id}`, { method: 'DELETE' }))
  await expect('DELETE /bff/sessions/{id}', 404, browser.call(`/bff/sessions/${id}`, { method: 'DELETE' }))
  await expect('DELETE /bff/sessions', 200, browser.call('/bff/sessions', { method: 'DELETE' }))
  for (const [method, path, url] of sessionRequests) {
    await expect(`${method} ${path}`, 401, stranger.call(url, { method }))
    await expect(`${method} ${path}`, 403, stranger.call(url, { method, headers: { 'x-csrf': '' } }))
  }
}

const sessionRequests = [
  ['GET', '/bff/sessions', '/bff/sessions'],
  ['DELETE', '/bff/sessions', '/bff/sessions'],
  ['DELETE', '/bff/sessions/{id}', '/bff/sessions/x'],
] as const

async function expectEvents(app: FastifyInstance, browser: InjectBrowser, expect: Expect): Promise<void> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const closing = new AbortController()
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000')) ?? ''
  const stream = await fetch(`http://127.0.0.1:${port}/bff/events`, {
    headers: { cookie, 'x-csrf': '1' },
    signal: closing.signal,
  })
  const headers = Object.fromEntries(stream.headers)
  await expect('GET /bff/events', 200, { statusCode: stream.status, headers, body: '' })
  await expect('GET /bff/events', 429, browser.call('/bff/events'))
  closing.abort()
}

async function expectBindings(t: TestContext, expect: Expect): Promise<void> {
  const [registration, refreshing] = [`POST ${registerPath}`, `POST ${refreshPath}`] as const
  const gateway = await startBoundGateway(t)
  const [browser, stranger, device] = [gateway.newBrowser(), gateway.newBrowser(), await createDevice()]
  const login = await browser.signIn()
  const registered = await register(browser, device, login)
  const id = registered.json().session_identifier
  await expect(registration, 200, registered)
  await expect(registration, 400, register(browser, device, login))
  await expect(registration, 403, post(stranger, registerPath, { 'sec-fetch-site': 'cross-site' }))
  await expect(refreshing, 200, refresh(browser, device, id))
  await expect(refreshing, 200, askToRefresh(stranger, id))
  await expect(refreshing, 403, askToRefresh(browser, id))
  await expect(refreshing, 400, post(browser, refreshPath, {}))
  const ended = await stranger.signIn()
  await stranger.open('/bff/logout')
  await expect(registration, 401, register(stranger, device, ended))

  const unbound = await stranger.signIn()
  t.mock.method(gateway.app.sessionStore, 'read', unavailable)
  await expect(registration, 503, register(stranger, device, unbound))
  await expect(refreshing, 503, askToRefresh(stranger, id))
}

async function expectLogouts(
  t: TestContext,
  app: FastifyInstance,
  newBrowser: () => InjectBrowser,
  expect: Expect,
): Promise<void> {
  const browser = newBrowser()
  await browser.signIn()
  await expect('GET /bff/logout', 400, browser.open('/bff/logout', { 'sec-fetch-site': 'cross-site' }))
  await expect('GET /bff/logout', 302, browser.open('/bff/logout'))
  await expect('GET /bff/logout-callback', 302, browser.open('/bff/logout-callback'))

  await browser.signIn()
  const long = new URL(`https://issuer.example/?id_token_hint=${'x'.repeat(4000)}`)
  t.mock.method(app.issuer, 'endSessionUrl', () => long)
  await expect('GET /bff/logout', 200, browser.open('/bff/logout'))
}

async function expectFailures(t: TestContext, expect: Expect): Promise<void> {
  const { app, newBrowser } = await startInjectGateway(t, { env: { OIDC_RESPONSE_MODE: 'form_post' } })
  const browser = newBrowser()
  const { path, body } = await browser.authorizeByForm(await browser.beginLogin())
  await expect('POST /bff/callback', 200, browser.post(path, body))
  body.set('bff_posted_again', '1')
  await expect('POST /bff/callback', 302, browser.post(path, body))
  const unknown = new URLSearchParams({ code: 'x', state: 'y', bff_posted_again: '1' })
  await expect('POST /bff/callback', 400, newBrowser().post(path, unknown))

  t.mock.method(app.sessionStore, 'read', unavailable)
  for (const path of ['/bff/user', '/bff/session', '/bff/events'])
    await expect(`GET ${path}`, 503, browser.call(path))
  for (const [method, path, url] of sessionRequests)
    await expect(`${method} ${path}`, 503, browser.call(url, { method }))
  await expect('POST /bff/session', 503, browser.call('/bff/session', { method: 'POST' }))

  const lonely = await startInjectGateway(t, { env: withoutIssuer })
  const stranger = lonely.newBrowser()
  await expect('GET /bff/login', 503, stranger.open('/bff/login'))
  await expect('GET /bff/frontchannel-logout', 503, stranger.open('/bff/frontchannel-logout?sid=x'))
}

async function unavailable(): Promise<never> {
  throw new StoreUnavailableError(new Error('down'))
}

function form(fields: Record<string, string>) {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return { headers, payload: String(new URLSearchParams(fields)) }
}

async function answerOf(response: Response): Promise<Answer> {
  const headers = Object.fromEntries(response.headers)
  return { statusCode: response.status, headers, body: await response.text() }
}
