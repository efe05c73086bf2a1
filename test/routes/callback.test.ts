import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { assertError } from '../support/assert-error.ts'
import { metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { type InjectBrowser, locationOf, setCookies } from '../support/inject-browser.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'

const loginUrl = '/bff/login'

test('a login ends at its return URL, with a session', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const url = await browser.beginLogin({ returnUrl: '/start?x=1#part' })

  const response = await browser.open(await browser.authorize(url), { 'sec-fetch-site': 'cross-site' })

  assert.equal(response.statusCode, 302)
  assert.equal(locationOf(response), '/start?x=1#part')
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal((await browser.call('/bff/session')).json().identity.name, 'Alice Example')
})

test('without a return URL a login ends at the root', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  assert.equal(locationOf(await newBrowser().signIn()), '/')
})

test('a callback that was not begun in this browser is rejected', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const attacker = newBrowser()
  const callback = await attacker.authorize(await attacker.beginLogin())
  const victim = newBrowser()
  await victim.beginLogin()

  await assertRejected(victim, callback)
  assert.equal((await attacker.open(callback)).statusCode, 302)
})

test('a state that is missing, wrong, repeated or malformed is rejected', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  const { state } = parametersOf(callback)
  const changed = [
    withParameters(callback, { state: undefined }),
    withParameters(callback, { state: '' }),
    withParameters(callback, { state: `${state}x` }),
    withParameters(callback, { state: String(state).toUpperCase() }),
    withParameters(callback, { state: '__proto__' }),
    withParameters(callback, { state: 'x'.repeat(5000) }),
    `${callback}&state=${state}`,
    `${callback}&state=x`,
    '/bff/callback',
    '/bff/callback?',
  ]
  for (const url of changed) await assertRejected(browser, url)

  assert.equal((await browser.open(callback)).statusCode, 302)
})

test('a state is used once, even with a kept copy of the cookie', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''

  assert.equal((await browser.open(callback)).statusCode, 302)

  const replayed = await newBrowser().call(callback, { headers: { cookie } })
  assertError(replayed, 400, 'BFF_LOGIN_REJECTED', { loginUrl })
  assert.ok(setCookies(replayed).every((value) => value.startsWith('bff-tx-')))
  // The existing session stays.
  await assertRejectedButSignedIn(browser, callback)
  // The issuer was not called; it would have refused the code.
  assert.equal(issuer.events.grants('authorization_code').length, 1)
})

test('tokens that can not be stored are revoked', async (t) => {
  const { app, issuer, newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  app.sessionStore.create = async () => {
    throw new StoreUnavailableError(new Error('on purpose'))
  }

  const answer = await browser.open(callback, { accept: '*/*' })
  assertError(answer, 503, 'BFF_STORE_UNAVAILABLE')
  assert.deepEqual(setCookies(answer), [])
  assert.equal(issuer.events.revocations().length, 1)
})

test('of two callbacks at the same time one succeeds', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())

  const responses = await Promise.all([browser.open(callback), browser.open(callback)])

  assert.deepEqual(responses.map(({ statusCode }) => statusCode).sort(), [302, 400])
  assert.equal(issuer.events.grants('authorization_code').length, 1)
})

test('a code that is missing, repeated, wrong or of another login is rejected', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const other = parametersOf(await newBrowserCallback(newBrowser()))
  const faults: ((callback: string) => string)[] = [
    (callback) => withParameters(callback, { code: undefined }),
    (callback) => withParameters(callback, { code: '' }),
    (callback) => withParameters(callback, { code: 'wrong' }),
    (callback) => `${callback}&code=${parametersOf(callback).code}`,
    (callback) => `${callback}&code=x`,
    // PKCE: an injected code is bound to another verifier.
    (callback) => withParameters(callback, { code: other.code }),
  ]
  for (const fault of faults) await assertRejected(browser, fault(await newBrowserCallback(browser)))
})

test('if an issuer ignores PKCE the nonce reveals a code of another login, and its tokens are not used', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)
  const browser = newBrowser()
  const other = parametersOf(await newBrowserCallback(newBrowser()))
  const url = await browser.beginLogin()
  const callback = await browser.authorize(url)
  // Such an issuer accepts any code with any verifier.
  const { AuthorizationCode } = issuer.provider
  const find = AuthorizationCode.find.bind(AuthorizationCode)
  t.mock.method(AuthorizationCode, 'find', async (...args: Parameters<typeof find>) => {
    const challenge = url.searchParams.get('code_challenge')
    return Object.assign((await find(...args)) ?? {}, { codeChallenge: challenge })
  })
  const asked: string[] = []
  issuer.provider.use(async (ctx, next) => {
    asked.push(ctx.path)
    await next()
  })

  await assertRejected(browser, withParameters(callback, { code: other.code }))

  assert.deepEqual(
    issuer.events.grants('authorization_code').map(({ outcome }) => outcome),
    ['success'],
  )
  // Neither UserInfo nor revocation was called.
  assert.deepEqual(asked, ['/token'])
})

test('an authorization response with another iss, or without one, is rejected', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)
  const browser = newBrowser()
  const faults: ((callback: string) => string)[] = [
    (callback) => withParameters(callback, { iss: 'https://evil.example' }),
    (callback) => withParameters(callback, { iss: `${issuer.issuer}/` }),
    (callback) => withParameters(callback, { iss: undefined }),
    (callback) => `${callback}&iss=https://evil.example`,
  ]
  for (const fault of faults) await assertRejected(browser, fault(await newBrowserCallback(browser)))
  assert.equal(issuer.events.grants('authorization_code').length, 0)
})

test('a code is sent only to the issuer where its login began, even without iss in the response', async (t) => {
  const [before, after] = [await startFaultyIssuer(), await startFaultyIssuer()]
  t.after(() => Promise.all([before.close(), after.close()]))
  for (const issuer of [before, after]) {
    issuer.rewrite(metadataPath, (metadata) => {
      delete metadata['authorization_response_iss_parameter_supported']
    })
  }
  // OIDC_ISSUER is changed while a login is under way.
  const env = { SESSION_KEYS: newKey() }
  const { newBrowser, publicUrl } = await startInjectGateway(t, { issuer: before, env })
  const changed = await startInjectGateway(t, { issuer: after, env })
  const browser = newBrowser()
  const callback = withParameters(await newBrowserCallback(browser), { iss: undefined })
  const cookie = browser.cookies.headerFor(publicUrl) ?? ''

  const response = await changed.newBrowser().call(callback, { headers: { cookie } })

  assertError(response, 400, 'BFF_LOGIN_REJECTED', { loginUrl })
  assert.deepEqual(after.events.grants('authorization_code'), [])
  assert.equal((await browser.open(callback)).statusCode, 302)
})

test('a user who cancels gets a page that offers to log in again', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()

  const callback = await browser.authorize(await browser.beginLogin(), { cancel: '1' })

  assert.equal(parametersOf(callback).error, 'access_denied')
  await assertRejected(browser, callback)
})

test('the page after a cancelled login leads back to where the user was, and the log has no stack', async (t) => {
  const { newBrowser, log } = await startInjectGateway(t)
  const browser = newBrowser()
  const wanted = await browser.beginLogin({ returnUrl: '/orders?a=1&b=2' })

  const page = await browser.open(await browser.authorize(wanted, { cancel: '1' }))

  assert.equal(page.statusCode, 400)
  assert.match(page.body, /<p>The login was cancelled or refused<\/p>/)
  assert.deepEqual(page.body.match(/<a [^>]*>[^<]*<\/a>/g), [
    '<a href="/orders?a=1&#38;b=2">Go back without logging in</a>',
    '<a href="/bff/login?returnUrl=%2Forders%3Fa%3D1%26b%3D2">Log in again</a>',
  ])
  const line = log()
    .split('\n')
    .find((text) => text.includes('login.rejected'))
  assert.match(line ?? '', /"msg":"The user cancelled the login, or the issuer refused it"/)
  assert.doesNotMatch(line ?? '', /stack/)
})

test('a login that a fault of the store keeps from finishing can be tried again', async (t) => {
  const { newBrowser, app } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin({ returnUrl: '/orders' }))
  app.sessionStore.addMarker = async () => {
    throw new StoreUnavailableError(new Error('on purpose'))
  }
  const page = await browser.open(callback)
  assert.equal(page.statusCode, 503)
  assert.match(page.body, /<a href="\/bff\/login\?returnUrl=%2Forders">Try again<\/a>/)
})

test('a browser that is signed in and opens an old callback again is sent on', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin({ returnUrl: '/orders' }))
  const kept = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''
  await browser.open(callback)
  const navigation = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }

  const reloaded = await browser.open(callback, navigation)
  assert.deepEqual([reloaded.statusCode, locationOf(reloaded)], [302, '/'])
  // With the login's own cookie it is known where it was to end.
  const all = `${kept}; ${browser.cookies.headerFor(new URL('http://localhost:3000/'))}`
  const again = await browser.open(callback, { ...navigation, cookie: all })
  assert.deepEqual([again.statusCode, locationOf(again)], [302, '/orders'])

  for (const headers of [{}, { ...navigation, 'sec-purpose': 'prefetch' }])
    assert.equal((await browser.open(callback, headers)).statusCode, 400)
  assert.equal((await newBrowser().open(callback, navigation)).statusCode, 400)
})

test('an error response without prompt=none is rejected', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  for (const error of ['login_required', 'server_error', 'temporarily_unavailable']) {
    const callback = await newBrowserCallback(browser)
    await assertRejected(browser, withParameters(callback, { code: undefined, error }))
  }
})

test('login_required after prompt=none leads back to the return URL, without a session', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const url = await browser.beginLogin({ prompt: 'none', returnUrl: '/silent' })
  const callback = await browser.authorize(url)
  assert.equal(parametersOf(callback).error, 'login_required')

  const response = await browser.open(callback, { 'sec-fetch-site': 'cross-site' })

  assert.equal(response.statusCode, 302)
  assert.equal(locationOf(response), '/silent')
  assert.deepEqual(browser.cookies.all(), [])
})

for (const error of ['interaction_required', 'consent_required', 'account_selection_required']) {
  test(`after prompt=none ${error} leads back too, and the login can't be finished again`, async (t) => {
    const { newBrowser } = await startInjectGateway(t)
    const browser = newBrowser()
    const callback = await browser.authorize(
      await browser.beginLogin({ prompt: 'none', returnUrl: '/silent' }),
    )
    const refused = withParameters(callback, { error })

    assert.equal(locationOf(await browser.open(refused)), '/silent')
    assert.deepEqual(browser.cookies.all(), [])
    await assertRejected(browser, refused)
  })
}

test('prompt=none signs in a user who is signed in at the issuer', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  browser.cookies.clear()

  const callback = await browser.authorize(await browser.beginLogin({ prompt: 'none', returnUrl: '/silent' }))

  assert.equal(locationOf(await browser.open(callback)), '/silent')
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('after prompt=none other errors are rejected, and errors of another issuer too', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  for (const change of [{ error: 'access_denied' }, { iss: 'https://evil.example' }]) {
    const callback = await browser.authorize(await browser.beginLogin({ prompt: 'none' }))
    await assertRejected(browser, withParameters(callback, change))
  }
})

test('a navigation gets an error page that offers to log in again, without an automatic redirect', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com/shop' } })
  const browser = newBrowser()
  const hostile = '/shop/bff/callback?state=x&error=<script>&error_description=<img+src=x>'

  const response = await browser.open(hostile)

  assert.equal(response.statusCode, 400)
  assert.equal(response.headers['content-type'], 'text/html; charset=utf-8')
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['location'], undefined)
  assert.deepEqual(response.body.match(/\b(href|src|action)=[^ >]*/g), ['href="/shop/bff/login"'])
  assert.doesNotMatch(response.body, /<script|<img|http-equiv|refresh/i)
})

test('each login starts a new session, and never reuses an earlier cookie', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const attacker = newBrowser()
  await attacker.signIn('bob')
  const planted = attacker.cookies.get('bff')?.value
  assert.ok(planted)
  const victim = newBrowser()
  victim.cookies.store(new URL('http://localhost:3000/'), [`bff=${planted}; Path=/`])

  await victim.signIn('alice')

  const own = victim.cookies.get('bff')?.value
  assert.notEqual(own, planted)
  assert.equal((await victim.call('/bff/session')).json().identity.name, 'Alice Example')
  // A login ends the session that its browser had, even an injected one.
  assert.equal((await attacker.call('/bff/session')).json().isAuthenticated, false)

  await victim.signIn('alice')
  assert.notEqual(victim.cookies.get('bff')?.value, own)
})

test('a login cookie is no session cookie, and a session cookie no login', async (t) => {
  const { newBrowser, app } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await newBrowserCallback(browser)
  const [transaction] = browser.cookies.all()
  assert.ok(transaction)
  await browser.open(callback)
  const session = browser.cookies.get('bff')
  assert.ok(session)
  const at = new URL('http://localhost:3000/')

  const opened = app.decodeSecureSession(decodeURIComponent(transaction.value), app.log, 'sealedSession')
  assert.equal(opened, null)
  const confused = newBrowser()
  confused.cookies.store(at, [`bff=${transaction.value}; Path=/`])
  assertError(await confused.call('/bff/user'), 401, 'BFF_SESSION_REQUIRED', { loginUrl })

  const mixed = newBrowser()
  mixed.cookies.store(at, [`${transaction.name}=${session.value}; Path=/`])
  await assertRejected(mixed, callback)
})

test("the issuer's session_state is kept, if it sends one", async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await newBrowserCallback(browser)

  await browser.open(`${callback}&session_state=abc.def`)

  const claims = (await browser.call('/bff/user')).json()
  assert.deepEqual(
    claims.find(({ type }: { type: string }) => type === 'bff:session_state'),
    { type: 'bff:session_state', value: 'abc.def' },
  )
})

/** A login up to its callback. */
async function newBrowserCallback(browser: InjectBrowser): Promise<string> {
  return browser.authorize(await browser.beginLogin())
}

/** 400 for scripts and for navigations, without a session, without a redirect. */
async function assertRejected(browser: InjectBrowser, url: string): Promise<void> {
  const response = await browser.call(url)
  assertError(response, 400, 'BFF_LOGIN_REJECTED', { loginUrl })
  assert.equal(response.headers['location'], undefined)
  assert.equal(browser.cookies.get('bff'), undefined)
  const page = await browser.open(url)
  assert.equal(page.statusCode, 400)
  assert.match(page.body, /<a href="\/bff\/login">Log in again<\/a>/)
}

async function assertRejectedButSignedIn(browser: InjectBrowser, url: string): Promise<void> {
  assertError(await browser.call(url), 400, 'BFF_LOGIN_REJECTED', { loginUrl })
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
}

function parametersOf(callback: string) {
  const parameters = Object.fromEntries(new URL(callback, 'http://localhost').searchParams)
  return parameters as { state?: string; code?: string; error?: string }
}

function withParameters(callback: string, changes: Record<string, string | undefined>): string {
  const { pathname, searchParams } = new URL(callback, 'http://localhost')
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) searchParams.delete(name)
    else searchParams.set(name, value)
  }
  return `${pathname}?${searchParams}`
}
