import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { decodeJwt } from 'jose'
import type { BffHooks, BffOptions, EndedSession, SessionInfo } from '../../index.ts'
import { assertError } from '../support/assert-error.ts'
import { type FaultyIssuer, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { logoutClaims } from '../support/logout-token.ts'
import { until } from '../support/until.ts'
import { type Application, startApplication } from './support.ts'

test('claims can be changed before they are stored', async (t) => {
  const { newBrowser } = await start(t, {
    onClaims: async ({ name: _, ...claims }) => ({ ...claims, roles: ['buyer', claims['sub']] }),
  })
  const browser = newBrowser()
  await browser.signIn()

  const claims: { type: string; value: string }[] = (await browser.call('/bff/user')).json()
  const own = claims.filter(({ type }) => ['name', 'roles', 'sub'].includes(type))
  assert.deepEqual(own, [
    { type: 'sub', value: 'alice' },
    { type: 'roles', value: 'buyer' },
    { type: 'roles', value: 'alice' },
  ])
})

test('if onClaims throws the login is refused: no session, tokens revoked, a line in the log', async (t) => {
  for (const onClaims of [refusesBob, (() => undefined) as never]) {
    const { issuer, newBrowser, log } = await start(t, { onClaims })
    const browser = newBrowser()

    const callback = await browser.authorize(await browser.beginLogin(), { username: 'bob', password: 'bob' })
    const answer = await browser.open(callback, { accept: '*/*', 'sec-fetch-site': 'cross-site' })
    assert.deepEqual([answer.statusCode, answer.json().code], [400, 'BFF_LOGIN_REJECTED'])
    assert.equal((await browser.call('/bff/user')).statusCode, 401)
    assert.equal(issuer.events.revocations().length, 1)
    assert.match(log(), /"event":"login\.rejected","reason":"claims_hook"/)
  }
})

test('onLogin runs before the browser is answered, with a request that has session and token', async (t) => {
  const calls: unknown[] = []
  const { newBrowser } = await start(t, {
    async onLogin(session, request) {
      const token = await request.accessToken()
      calls.push(session.subject, request.session?.subject, typeof token, JSON.stringify(session))
    },
  })
  await newBrowser().signIn('bob')

  assert.deepEqual(calls.slice(0, 3), ['bob', 'bob', 'string'])
  assert.doesNotMatch(String(calls[3]), /token|key/i)
})

test('hooks run for a renewal and every end of a session except expiry', async (t) => {
  const renewed: SessionInfo[] = []
  const ended: [EndedSession, string][] = []
  const { app, issuer, newBrowser } = await start(t, {
    onRenewed: (session) => void renewed.push(session),
    onLogout: (session, reason) => void ended.push([session, reason]),
  })
  const browsers = [newBrowser(), newBrowser(), newBrowser(), newBrowser()] as const
  for (const browser of browsers) await browser.signIn()
  const sids = await Promise.all(browsers.map(async (it) => (await it.call('/bff/session')).json().sid))

  await browsers[0].open('/renew')
  assert.deepEqual(
    renewed.map(({ sid }) => sid),
    [sids[0]],
  )

  await browsers[0].open(`/bff/logout?sid=${sids[0]}`)
  await app.inject(`/bff/frontchannel-logout?iss=${encodeURIComponent(issuer.issuer)}&sid=${sids[1]}`)
  await notify({ app, issuer }, { sub: 'alice', sid: sids[2] })
  issuer.rewrite('/token', (_answer, ctx) => {
    ctx.status = 400
    ctx.body = { error: 'invalid_grant' }
  })
  await browsers[3].open('/renew')

  const calls = ended.map(([{ issuer: _, subject, sid }, reason]) => ({ subject, sid, reason }))
  assert.deepEqual(calls, [
    { subject: 'alice', sid: sids[0], reason: 'logout' },
    { subject: undefined, sid: sids[1], reason: 'frontchannel_logout' },
    { subject: undefined, sid: sids[2], reason: 'backchannel_logout' },
    { subject: 'alice', sid: sids[3], reason: 'refused' },
  ])
})

test("if onClaims drops sid the session still ends by the issuer's sid", async (t) => {
  const { app, issuer, newBrowser } = await start(t, { onClaims: ({ name }) => ({ name }) })
  let idToken = ''
  issuer.rewrite('/token', (answer) => {
    idToken = String(answer['id_token'])
  })
  const browser = newBrowser()
  await browser.signIn()
  const { sid } = decodeJwt(idToken)
  assert.ok(sid)

  await notify({ app, issuer }, { sub: 'alice', sid })

  assert.equal((await browser.call('/bff/user')).statusCode, 401)
})

test('a login succeeds although its hook gets no token', async (t) => {
  const { issuer, newBrowser, log } = await start(t, {
    async onLogin(_session, request) {
      issuer.rewrite('/token', (_answer, ctx) => Object.assign(ctx, { status: 503, body: 'unwell' }))
      await request.accessToken({ resource: 'urn:orders' })
    },
  })
  const browser = newBrowser()
  await browser.signIn()

  assert.match(log(), /"event":"hook\.failed","hook":"onLogin"/)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('failing hooks are logged and break nothing', async (t) => {
  const fails = (): never => {
    throw new Error('the hook fell over')
  }
  const { newBrowser, log } = await start(t, {
    onLogin: fails,
    onRenewed: fails,
    onLogout: async () => fails(),
  })
  const browser = newBrowser()

  await browser.signIn()
  assert.equal((await browser.open('/renew')).statusCode, 200)
  const { sid } = (await browser.call('/bff/session')).json()
  assert.equal((await browser.open(`/bff/logout?sid=${sid}`)).statusCode, 302)
  assertError(await browser.call('/bff/user'), 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
  for (const hook of ['onLogin', 'onRenewed', 'onLogout'])
    await until(() => log().includes(`"event":"hook.failed","hook":"${hook}"`))
  assert.match(log(), /the hook fell over/)
})

async function start(
  t: TestContext,
  hooks: BffHooks,
): Promise<Omit<Application, 'issuer'> & { issuer: FaultyIssuer }> {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const application = await startApplication(t, {
    issuer,
    bff: hooks as Partial<BffOptions>,
    server: { genReqId: () => crypto.randomUUID() },
    routes: (app) =>
      app.get('/renew', async (request) => ({
        renewed: (await request.accessToken({ forceRenewal: true })) !== '',
      })),
  })
  return { ...application, issuer }
}

async function notify({ app, issuer }: { app: Application['app']; issuer: FaultyIssuer }, claims: object) {
  const token = await issuer.sign(logoutClaims(issuer, { ...claims }))
  const answer = await app.inject({
    method: 'POST',
    url: '/bff/backchannel-logout',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({ logout_token: token }).toString(),
  })
  assert.equal(answer.statusCode, 200, answer.body)
}

function refusesBob(claims: Record<string, unknown>) {
  if (claims['sub'] === 'bob') throw new Error('bob is not welcome')
  return claims
}
