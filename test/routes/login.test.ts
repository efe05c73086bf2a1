import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { asQueryValue } from '../../http/path.ts'
import { assertError } from '../support/assert-error.ts'
import { openRedirects } from '../support/corpus.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { locationOf, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

test('a login goes to the issuer with code flow, PKCE, state and nonce', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)
  const browser = newBrowser()

  const response = await browser.open('/bff/login')

  assert.equal(response.statusCode, 302)
  assert.equal(response.headers['cache-control'], 'no-store')
  const url = new URL(locationOf(response))
  assert.equal(url.origin + url.pathname, `${issuer.issuer}/auth`)
  const { state, nonce, code_challenge: challenge, ...rest } = Object.fromEntries(url.searchParams)
  assert.deepEqual(rest, {
    client_id: issuer.clientId,
    response_type: 'code',
    redirect_uri: 'http://localhost:3000/bff/callback',
    scope: 'openid profile email offline_access',
    code_challenge_method: 'S256',
  })
  for (const random of [state, nonce, challenge]) assert.match(random ?? '', /^[\w-]{43}$/)
})

test('the PKCE challenge is the hash of the verifier that redeems the code', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)
  let verifier: unknown
  issuer.provider.on('grant.success', ({ oidc }) => {
    verifier = oidc.params?.['code_verifier']
  })
  const browser = newBrowser()
  const url = await browser.beginLogin()

  await browser.open(await browser.authorize(url))

  const challenge = createHash('sha256').update(String(verifier)).digest('base64url')
  assert.equal(challenge, url.searchParams.get('code_challenge'))
})

test('redirect URIs come from PUBLIC_URL, whatever host the request names', async (t) => {
  const env = { PUBLIC_URL: 'https://app.example.com', TRUST_PROXY: 'true' }
  const { newBrowser } = await startInjectGateway(t, { env })

  const response = await newBrowser().open('/bff/login', {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'http',
    forwarded: 'host=evil.example',
  })

  const { searchParams } = new URL(locationOf(response))
  assert.equal(searchParams.get('redirect_uri'), 'https://app.example.com/bff/callback')
})

test('with a base path all URLs and cookies are below it', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com/shop/' } })
  const browser = newBrowser()

  const response = await browser.open('/shop/bff/login')
  const url = new URL(locationOf(response))
  assert.equal(url.searchParams.get('redirect_uri'), 'https://app.example.com/shop/bff/callback')

  const callback = await browser.open(await browser.authorize(url))
  assert.equal(callback.statusCode, 302)
  assert.equal(locationOf(callback), '/shop/')

  const claims = (await browser.call('/shop/bff/user')).json()
  const logoutUrl = claims.find(({ type }: { type: string }) => type === 'bff:logout_url').value
  assert.match(logoutUrl, /^\/shop\/bff\/logout\?sid=/)
  assert.match(
    locationOf(await browser.open(logoutUrl)),
    /post_logout_redirect_uri=[^&]+%2Fshop%2Fbff%2Flogout-callback(&|$)/,
  )
  assertError(await browser.call('/shop/bff/user'), 401, 'BFF_SESSION_REQUIRED', {
    loginUrl: '/shop/bff/login',
  })
})

test('requests without the base path, as from a proxy that strips it, are served', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com/shop' } })
  assert.equal((await newBrowser().open('/bff/login')).statusCode, 302)
})

test('only the permitted login parameters are passed on to the issuer', async (t) => {
  const env = { OIDC_AUTHORIZATION_PARAMS: 'acr_values=basic&audience=api&prompt=consent' }
  const { newBrowser } = await startInjectGateway(t, { env })
  const said = {
    prompt: 'login',
    login_hint: 'alice@example.test',
    ui_locales: 'de-CH fr',
    acr_values: 'high',
    max_age: '60',
  }
  const hostile = {
    scope: 'admin',
    redirect_uri: 'https://evil.example',
    response_type: 'token',
    client_id: 'x',
  }

  const { searchParams } = await newBrowser().beginLogin({ ...said, ...hostile, request: 'x' })

  const sent = Object.fromEntries(searchParams)
  for (const [name, value] of Object.entries(said)) assert.equal(sent[name], value)
  assert.equal(sent['audience'], 'api')
  for (const [name, value] of Object.entries(hostile)) assert.notEqual(sent[name], value)
  assert.ok(!searchParams.has('request'))
})

test('a repeated configured parameter is sent as often', async (t) => {
  const env = { OIDC_AUTHORIZATION_PARAMS: 'resource=urn%3Aapi%3Aa&resource=urn%3Aapi%3Ab' }
  const { newBrowser } = await startInjectGateway(t, { env })
  const { searchParams } = await newBrowser().beginLogin()
  assert.deepEqual(searchParams.getAll('resource'), ['urn:api:a', 'urn:api:b'])
})

test('a return URL to another origin is refused, and no login begins', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  for (const returnUrl of openRedirects()) {
    const query = new URLSearchParams({ returnUrl })
    const response = await browser.call(`/bff/login?${query}`)
    assertError(response, 400, 'BFF_INVALID_RETURN_URL')
    assert.deepEqual(setCookies(response), [])
  }
  assertError(await newBrowser().call('/bff/login?returnUrl=/a&returnUrl=/b'), 400, 'BFF_INVALID_RETURN_URL')
})

test('a login and a logout may end at a listed origin, and of the corpus nowhere else', async (t) => {
  const env = { CORS_ORIGINS: 'https://spa.example.com' }
  const { newBrowser } = await startInjectGateway(t, { env })
  const browser = newBrowser()
  for (const returnUrl of openRedirects()) {
    const query = new URLSearchParams({ returnUrl })
    assertError(await browser.call(`/bff/login?${query}`), 400, 'BFF_INVALID_RETURN_URL')
    const logout = await browser.open(`/bff/logout?${query}`, { accept: '*/*' })
    assertError(logout, 400, 'BFF_INVALID_RETURN_URL')
  }
  const wanted = 'https://spa.example.com/orders?page=2#top'
  const callback = await browser.authorize(await browser.beginLogin({ returnUrl: wanted }))
  assert.equal(locationOf(await browser.open(callback, { 'sec-fetch-site': 'cross-site' })), wanted)
  const atIssuer = new URL(locationOf(await browser.open(`/bff/logout?returnUrl=${wanted.split('#')[0]}`)))
  const state = atIssuer.searchParams.get('state')
  assert.equal(
    locationOf(await browser.open(`/bff/logout-callback?state=${state}`)),
    'https://spa.example.com/orders?page=2',
  )
  assert.equal(
    locationOf(await browser.open('/bff/logout?returnUrl=https://spa.example.com')),
    'https://spa.example.com/',
  )
})

test('an invalid parameter is refused, and the error names it', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  for (const [name, query] of [
    ['prompt', 'prompt=nonsense'],
    ['prompt', 'prompt=none+login'],
    ['prompt', 'prompt=login&prompt=consent'],
    ['max_age', 'max_age=-1'],
    ['ui_locales', 'ui_locales=%3Cscript%3E'],
    ['acr_values', 'acr_values=%00'],
    ['login_hint', 'login_hint=%0d%0a'],
  ]) {
    const response = await newBrowser().call(`/bff/login?${query}`)
    assertError(response, 400, 'BFF_INVALID_PARAMETER')
    assert.equal(response.json().details, `${name} is not valid`)
  }
})

test('parallel tabs each have a login of their own, in any order of callbacks', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const first = await browser.beginLogin({ returnUrl: '/first' })
  const second = await browser.beginLogin({ returnUrl: '/second' })
  assert.equal(browser.cookies.all().length, 2)

  for (const [url, returnUrl] of [[second, '/second'] as const, [first, '/first'] as const]) {
    const response = await browser.open(await browser.authorize(url))
    assert.equal(response.statusCode, 302)
    assert.equal(locationOf(response), returnUrl)
  }
  assert.deepEqual(
    browser.cookies.all().map(({ name }) => name),
    ['bff'],
  )
})

test('of more than ten logins under way the oldest is dropped', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const browser = newBrowser()
  const urls: URL[] = []
  for (let i = 0; i < 12; i++) {
    urls.push(await browser.beginLogin({ returnUrl: `/${i}` }))
    t.mock.timers.tick(1000)
  }
  assert.equal(browser.cookies.all().length, 10)

  const outcomes = []
  for (const url of urls) {
    // Each is a separate transaction, so another's callback must not use it up.
    outcomes.push((await browser.open(await browser.authorize(url))).statusCode)
  }
  assert.deepEqual(outcomes, [400, 400, ...Array(10).fill(302)])
})

test('ten logins that were begun one after another, with deep links of 8 KB, all finish', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const link = (tab: number) => `/report/${tab}?filter=${'%22a%22%2C'.repeat(810)}`
  const urls: URL[] = []
  for (let tab = 0; tab < 10; tab++) {
    const begun = await browser.open(`/bff/login?returnUrl=${asQueryValue(link(tab))}`)
    urls.push(new URL(locationOf(begun)))
  }
  assert.ok(link(0).length > 8000)
  for (const [tab, url] of urls.entries()) {
    const answer = await browser.open(await browser.authorize(url), { 'sec-fetch-site': 'cross-site' })
    assert.deepEqual([answer.statusCode, locationOf(answer)], [302, link(tab)])
  }
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('a long return URL is sealed in the store, and without it the login ends at the start page', async (t) => {
  const { newBrowser, app } = await startInjectGateway(t)
  const put: Buffer[] = []
  const { put: original, read } = app.sessionStore
  app.sessionStore.put = async (id, sealed, ttlMs) => {
    put.push(sealed)
    assert.equal(ttlMs, 600_000)
    return original.call(app.sessionStore, id, sealed, ttlMs)
  }
  const browser = newBrowser()
  const returnUrl = `/report?filter=${'secret'.repeat(100)}`
  const callback = await browser.authorize(await browser.beginLogin({ returnUrl }))
  assert.equal(put.length, 1)
  assert.ok(!put[0]?.includes('secret'))

  app.sessionStore.read = async () => undefined
  const answer = await browser.open(callback)
  app.sessionStore.read = read
  assert.deepEqual([answer.statusCode, locationOf(answer)], [302, '/'])

  const short = await browser.beginLogin({ returnUrl: '/start' })
  assert.equal(put.length, 1)
  assert.equal(locationOf(await browser.open(await browser.authorize(short))), '/start')
})

test('clients can not fill the store with long return URLs, and short ones are never limited', async (t) => {
  const clock = createFakeClock(Date.now())
  const { app, newBrowser } = await startInjectGateway(t, {
    env: { TRUST_PROXY: '10.0.0.0/8' },
    extras: { clock, limits: { longReturnUrlsPerMinute: 2 } },
  })
  const inject = app.inject.bind(app)
  t.mock.method(app, 'inject', (options: object) => inject({ remoteAddress: '10.0.0.1', ...options }))
  const user = newBrowser()
  await user.signIn()
  const put = t.mock.method(app.sessionStore, 'put')
  const begin = (client: string, path: string, browser = newBrowser()) =>
    browser.open(`/bff/login?returnUrl=${path}`, { 'x-forwarded-for': client })
  const long = `/${'x'.repeat(300)}`

  for (const expected of [302, 302, 429, 429])
    assert.equal((await begin('192.0.2.1', long)).statusCode, expected)
  const limited = await begin('192.0.2.1', long)
  assert.ok(Number(limited.headers['retry-after']) > 0)
  assert.deepEqual(setCookies(limited), [])
  assert.equal((await begin('192.0.2.1', '/short')).statusCode, 302)
  assert.equal(put.mock.callCount(), 2)

  // In total, 10 times as many.
  for (let client = 2; client < 30; client++) await begin(`192.0.2.${client}`, long)
  assert.equal(put.mock.callCount(), 20)
  // One who is signed in is counted apart from them.
  assert.equal((await begin('192.0.2.1', long, user)).statusCode, 302)

  await clock.advance(60_000)
  assert.equal((await begin('192.0.2.1', long)).statusCode, 302)
})

test('foreign cookies that look like logins are dropped first, and cause no error', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.beginLogin()
  const own = browser.cookies.all().map(({ name, value }) => `${name}=${value}`)
  const looksRight = [...'0123456789'].map((i) => `bff-tx-${i.repeat(16)}=x`)
  const looksWrong = ['0', '1', '2', '3', '4', '5'].map((i) => `bff-tx-ä(${i}=x`)

  const response = await newBrowser().open('/bff/login', {
    cookie: [...looksWrong, ...looksRight, ...own].join('; '),
  })

  assert.equal(response.statusCode, 302)
  const cleared = setCookies(response).filter((cookie) => /^[^=]+=;/.test(cookie))
  assert.equal(cleared.length, 2)
  for (const cookie of cleared) assert.match(cookie, /^bff-tx-(\d)\1{15}=;/)
})

test('ten open logins with the longest return URLs fit into the headers of one request', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com' } })
  const browser = newBrowser()
  // The session that the login replaces is in its cookie.
  await browser.signIn()
  const short = { returnUrl: '/short' }
  for (let i = 0; i < 11; i++) await browser.beginLogin(short)
  assert.equal(browser.cookies.all().length, 1 + 10)

  for (let i = 0; i < 6; i++) {
    await browser.beginLogin({ returnUrl: `/${'€'.repeat(900)}` })
    const header = browser.cookies.headerFor(new URL('https://app.example.com/')) ?? ''
    assert.ok(header.length < 12_500, `${header.length} bytes`)
  }

  assert.equal(browser.cookies.all().length, 1 + 10)
  for (const { name, value } of browser.cookies.all()) assert.ok(name.length + value.length < 4096)
})

test('the login cookie is sealed, lasts ten minutes, and is sent on the return from the issuer', async (t) => {
  for (const [publicUrl, secure] of [
    ['http://localhost:3000', ''],
    ['https://app.example.com', ' Secure;'],
  ] as const) {
    const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: publicUrl } })
    const response = await newBrowser().open('/bff/login?returnUrl=/start')
    const [cookie = '', ...others] = setCookies(response)
    assert.deepEqual(others, [])
    assert.match(
      cookie,
      new RegExp(
        `^[\\w-]*bff-tx-[\\w-]{16}=[^;]{100,}; Max-Age=600; Path=/; HttpOnly;${secure} SameSite=Lax$`,
      ),
    )
    const { searchParams } = new URL(locationOf(response))
    for (const name of ['state', 'nonce']) assert.ok(!cookie.includes(searchParams.get(name) ?? ''))
    assert.ok(!cookie.includes('start'))
  }
})

test('a login that takes longer than ten minutes is rejected', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''

  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 600_000 })

  const response = await newBrowser().call(callback, { headers: { cookie } })
  assertError(response, 400, 'BFF_LOGIN_REJECTED', { loginUrl: '/bff/login' })
})

test('only a navigation begins a login', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  for (const path of ['/bff/login', '/bff/login?prompt=none', '/bff/silent-login']) {
    for (const mode of ['cors', 'no-cors', 'same-origin', 'websocket', '']) {
      const answer = await browser.open(path, { 'sec-fetch-mode': mode, accept: '*/*' })
      assertError(answer, 400, 'BFF_LOGIN_REJECTED', { loginUrl: '/bff/login' })
      assert.deepEqual(setCookies(answer), [])
    }
    assert.equal((await browser.open(path, { 'sec-fetch-mode': 'navigate' })).statusCode, 302)
  }
  // Node's fetch sends this mode always, and smoke tests sign in with it. Browsers send a destination too.
  const script = { 'sec-fetch-mode': 'cors', 'user-agent': 'node' }
  assert.equal((await browser.open('/bff/login', script)).statusCode, 302)
  assert.equal((await browser.open('/bff/login', { ...script, 'sec-fetch-dest': 'empty' })).statusCode, 400)
})
