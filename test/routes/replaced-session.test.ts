import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { FastifyRequest } from 'fastify'
import type { AppExtras } from '../../app.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { type InjectBrowser, locationOf, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const home = new URL('http://localhost:3000/')
const strictCookieStaysBehind = { 'sec-fetch-site': 'cross-site' }

async function isSignedIn(browser: InjectBrowser, cookie?: string): Promise<boolean> {
  const headers = cookie === undefined ? {} : { cookie }
  return (await browser.call('/bff/user', { headers })).statusCode === 200
}

function cookieOf(browser: InjectBrowser): string {
  return `bff=${browser.cookies.get('bff')?.value ?? assert.fail('no session')}`
}

/** As browsers do with a Strict cookie when the issuer redirects back. */
async function openFromIssuer(browser: InjectBrowser, callback: string) {
  const all = browser.cookies.headerFor(home) ?? ''
  const cookie = all
    .split('; ')
    .filter((pair) => !pair.startsWith('bff='))
    .join('; ')
  return browser.open(callback, { ...strictCookieStaysBehind, cookie })
}

async function signIn(browser: InjectBrowser, user = 'alice') {
  const callback = await browser.authorize(await browser.beginLogin(), { username: user, password: user })
  return openFromIssuer(browser, callback)
}

async function start(t: TestContext, extras: AppExtras = {}) {
  const gateway = await startInjectGateway(t, { extras })
  const browser = gateway.newBrowser()
  await signIn(browser)
  return { ...gateway, browser, old: cookieOf(browser) }
}

test("a login ends the browser's previous session and revokes its refresh token, although the callback gets no Strict cookie", async (t) => {
  const ended: unknown[] = []
  const { browser, old, issuer, log, newBrowser } = await start(t, {
    hooks: { onLogout: ({ subject }, reason) => void ended.push([subject, reason]) },
  })
  const elsewhere = newBrowser()
  await signIn(elsewhere)

  assert.equal((await signIn(browser)).statusCode, 302)

  assert.equal(await isSignedIn(browser, old), false)
  assert.ok(await isSignedIn(browser))
  assert.ok(await isSignedIn(elsewhere))
  const [first] = issuer.events.grants('authorization_code')
  assert.deepEqual(
    issuer.events.revocations().map(({ tokenHash, outcome }) => [tokenHash, outcome]),
    [[first?.issuedRefreshTokenHash, 'success']],
  )
  assert.deepEqual(ended, [['alice', 'replaced']])
  assert.match(
    log(),
    /"user":"Alice Example","sessionHash":"[\w-]{22}","event":"session\.ended","reason":"replaced"/,
  )
})

test('a session that the browser got since the login began, and sends to the callback, ends as well', async (t) => {
  const { browser: elsewhere, old, newBrowser } = await start(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  browser.cookies.store(home, [`${old}; Path=/`])
  assert.ok(await isSignedIn(browser))

  await browser.open(callback)

  assert.ok(await isSignedIn(browser))
  assert.equal(await isSignedIn(elsewhere), false)
})

test("when another user signs in in the same browser the previous user's session ends", async (t) => {
  const { browser, old, newBrowser } = await start(t)
  // The next user signs in at the issuer, in a browser that still has its cookies.
  const next = newBrowser()
  next.cookies.store(home, [`${old}; Path=/`])

  await signIn(next, 'bob')

  assert.equal((await next.call('/bff/session')).json().identity.name, 'Bob Example')
  assert.equal(await isSignedIn(browser, old), false)
})

test('a failed login keeps the existing session', async (t) => {
  const { browser, old } = await start(t)
  const state = (await browser.beginLogin()).searchParams.get('state')
  const answers = [
    await openFromIssuer(browser, `/bff/callback?state=${state}&error=access_denied`),
    await openFromIssuer(browser, `/bff/callback?state=${state}&code=made-up`),
  ]
  assert.deepEqual(
    answers.map(({ statusCode }) => statusCode),
    [400, 400],
  )
  assert.ok(await isSignedIn(browser, old))
})

test('of parallel tabs that each finish a login only the last session stays', async (t) => {
  const { browser, old } = await start(t)
  const callbacks: string[] = []
  for (let tabs = 0; tabs < 4; tabs++) callbacks.push(await browser.authorize(await browser.beginLogin()))

  const cookies = [old]
  for (const callback of callbacks) {
    assert.equal((await openFromIssuer(browser, callback)).statusCode, 302)
    cookies.push(cookieOf(browser))
  }

  const alive = await Promise.all(cookies.map((cookie) => isSignedIn(browser, cookie)))
  assert.deepEqual(alive, [false, false, false, false, true])
  assert.deepEqual(
    browser.cookies.all().map(({ name }) => name),
    ['bff'],
  )
})

test('a login succeeds although ending the previous session fails', async (t) => {
  for (const method of ['read', 'destroy'] as const) {
    const { app, browser, log } = await start(t)
    const callback = await browser.authorize(await browser.beginLogin())
    const failing = t.mock.method(app.sessionStore, method, async () => {
      throw new StoreUnavailableError(new Error('connect ECONNREFUSED'))
    })

    const answer = await openFromIssuer(browser, callback)

    assert.equal(answer.statusCode, 302)
    failing.mock.restore()
    assert.ok(await isSignedIn(browser))
    assert.match(log(), /"event":"session\.replacement\.failed"/)
  }
})

test('a renewal under way does not bring the previous session back, and its token is revoked', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const [asked, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  issuer.rewrite('/token', async (_answer, { oidc }) => {
    if (oidc.params?.['grant_type'] !== 'refresh_token') return
    asked.resolve()
    await held.promise
  })
  const localRoutes: AppExtras['localRoutes'] = async (app) => {
    app.get('/renew', async (request) => {
      await request.accessToken({ forceRenewal: true })
      return 'renewed'
    })
  }
  const { newBrowser } = await startInjectGateway(t, { issuer, extras: { localRoutes } })
  const browser = newBrowser()
  await signIn(browser)
  const old = cookieOf(browser)
  const renewal = browser.call('/renew')
  await asked.promise

  // Another user, so that the check for a shared grant is not made.
  const next = newBrowser()
  next.cookies.store(home, [`${old}; Path=/`])
  await signIn(next, 'bob')
  held.resolve()

  assert.equal((await renewal).statusCode, 401)
  assert.equal(await isSignedIn(browser, old), false)
  assert.ok(await isSignedIn(next))
  const [renewed] = issuer.events.refreshGrants()
  assert.ok(
    issuer.events.revocations().some(({ tokenHash }) => tokenHash === renewed?.issuedRefreshTokenHash),
  )
})

test('a login that was renewed to see whether its tokens were revoked goes on with the renewed ones', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const issued: unknown[] = []
  issuer.provider.use(async (ctx, next) => {
    await next()
    if (ctx.path === '/token') issued.push(Object(ctx.body).access_token)
  })
  const used: string[] = []
  const onLogin = async (_session: unknown, request: FastifyRequest) =>
    void used.push(await request.accessToken())
  const { newBrowser } = await startInjectGateway(t, { issuer, extras: { hooks: { onLogin } } })
  const browser = newBrowser()
  await signIn(browser)
  await signIn(browser)

  assert.equal(issuer.events.refreshGrants().length, 1)
  assert.equal(issued.length, 3)
  assert.deepEqual(used, [issued[0], issued[2]])
})

/** Like issuers for which all logins of a user are one grant: revoking one token revokes all. */
async function startRevokingAll(t: TestContext) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const latest: string[] = []
  issuer.provider.use(async (ctx, next) => {
    await next()
    const { refresh_token: token } = Object(ctx.body)
    if (ctx.path === '/token' && typeof token === 'string') latest.push(token)
    if (ctx.path !== '/token/revocation') return
    for (const token of latest) await (await issuer.provider.RefreshToken.find(token))?.destroy()
  })
  return issuer
}

test('if the issuer revokes the new tokens with the old ones, the login is repeated and succeeds', async (t) => {
  const issuer = await startRevokingAll(t)
  const { app, newBrowser } = await startInjectGateway(t, { issuer, env: { METRICS_PORT: '0' } })
  const counted = t.mock.method(app.metrics, 'loginDone')
  const browser = newBrowser()
  await signIn(browser)
  const old = cookieOf(browser)
  const begun = await browser.beginLogin({ returnUrl: '/start?x=1' })

  const again = await openFromIssuer(browser, await browser.authorize(begun))

  assert.equal(locationOf(again), `/bff/login?${new URLSearchParams({ returnUrl: '/start?x=1' })}`)
  assert.equal(
    setCookies(again).some((cookie) => cookie.startsWith('bff=')),
    false,
  )
  const authorization = await browser.open(locationOf(again))
  const end = await openFromIssuer(browser, await browser.authorize(new URL(locationOf(authorization))))
  assert.deepEqual([end.statusCode, locationOf(end)], [302, '/start?x=1'])
  assert.ok(await isSignedIn(browser))
  assert.equal(await isSignedIn(browser, old), false)
  assert.deepEqual(
    counted.mock.calls.map(({ arguments: [outcome] }) => outcome),
    ['succeeded', 'failed', 'succeeded'],
  )
})

test('so is a silent login, silently, and in a frame there', async (t) => {
  const issuer = await startRevokingAll(t)
  const { newBrowser } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  await signIn(browser)
  const silently = { prompt: 'none', returnUrl: '/start' }
  const begun = await browser.beginLogin(silently)
  const again = await openFromIssuer(browser, await browser.authorize(begun))
  assert.equal(
    locationOf(again),
    `/bff/login?${new URLSearchParams({ returnUrl: '/start', prompt: 'none' })}`,
  )

  await signIn(browser)
  const frame = await browser.open('/bff/silent-login', { 'sec-fetch-site': 'same-origin' })
  const inFrame = await openFromIssuer(browser, await browser.authorize(new URL(locationOf(frame))))
  assert.equal(locationOf(inFrame), '/bff/silent-login')
})

test('a login is not renewed at once where nothing of the previous session was revoked', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  await signIn(browser)
  issuer.rewrite('/token/revocation', (_answer, ctx) => Object.assign(ctx, { status: 503 }))

  assert.equal((await signIn(browser)).statusCode, 302)

  assert.equal(issuer.events.refreshGrants().length, 0)
})

test("a store that fails to end a user's surplus sessions does not fail the login", async (t) => {
  const { app, newBrowser, log } = await startInjectGateway(t)
  t.mock.method(app.sessionStore, 'trim', async () => {
    throw new StoreUnavailableError(new Error('on purpose'))
  })
  const browser = newBrowser()
  assert.equal((await signIn(browser)).statusCode, 302)
  assert.ok(await isSignedIn(browser))
  assert.match(log(), /"event":"session\.limit\.failed"/)
})
