import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LightMyRequestResponse } from 'fastify'
import { decodeJwt } from 'jose'
import { formOf } from '../../demo/http-browser/form.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { assertError } from '../support/assert-error.ts'
import { openRedirects } from '../support/corpus.ts'
import { metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { type InjectBrowser, locationOf, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const elsewhere = { 'sec-fetch-site': 'cross-site' }

async function sidOf(browser: InjectBrowser): Promise<string> {
  return (await browser.call('/bff/session')).json().sid
}

/** Where the issuer sends the browser after a logout. */
function backFrom(atIssuer: LightMyRequestResponse): string {
  const { searchParams } = new URL(locationOf(atIssuer))
  const { pathname } = new URL(searchParams.get('post_logout_redirect_uri') ?? '')
  return `${pathname}?${new URLSearchParams({ state: searchParams.get('state') ?? '' })}`
}

test("a logout ends the session, revokes its refresh token, and redirects to the issuer's logout", async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''

  const response = await browser.open(`/bff/logout?sid=${await sidOf(browser)}`, elsewhere)

  assert.equal(response.statusCode, 302)
  assert.equal(response.headers['cache-control'], 'no-store')
  const url = new URL(locationOf(response))
  assert.equal(url.origin + url.pathname, `${issuer.issuer}/session/end`)
  const { id_token_hint: idToken = '', state = '', ...rest } = Object.fromEntries(url.searchParams)
  assert.deepEqual(rest, {
    client_id: issuer.clientId,
    post_logout_redirect_uri: 'http://localhost:3000/bff/logout-callback',
  })
  assert.equal(decodeJwt(idToken).sub, 'alice')
  assert.match(state, /^[\w-]{22}$/)

  const [grant] = issuer.events.grants('authorization_code')
  const [revocation, ...others] = issuer.events.revocations()
  assert.deepEqual(others, [])
  assert.equal(revocation?.outcome, 'success')
  assert.equal(revocation?.tokenHash, grant?.issuedRefreshTokenHash)

  const [kept = '', cleared = ''] = setCookies(response)
  assert.equal(
    cleared,
    'bff=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Strict',
  )
  assert.match(kept, /^bff-logout=[^;]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/)
  assert.deepEqual(
    browser.cookies.all().map(({ name }) => name),
    ['bff-logout'],
  )
  // A copy of the cookie has no session.
  const replayed = await newBrowser().call('/bff/user', { headers: { cookie } })
  assertError(replayed, 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
})

test('each logout has its own state', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const states = new Set<string | null>()
  for (let times = 0; times < 3; times++) {
    const browser = newBrowser()
    await browser.signIn()
    states.add(new URL(locationOf(await browser.open('/bff/logout'))).searchParams.get('state'))
  }
  assert.equal(states.size, 3)
})

test('a logout needs the sid, or Sec-Fetch-Site same-origin or none', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const sid = await sidOf(browser)
  const attempts: [query: string, headers: Record<string, string>][] = [
    ['', elsewhere],
    ['', { 'sec-fetch-site': 'same-site' }],
    ['', { 'sec-fetch-site': '' }],
    ['?sid=', elsewhere],
    ['?sid=wrong', elsewhere],
    [`?sid=${sid}x`, elsewhere],
    [`?sid=${sid.toLowerCase()}!`, elsewhere],
    [`?sid=${sid}&sid=${sid}`, elsewhere],
    ['?returnUrl=/start', elsewhere],
  ]
  for (const [query, headers] of attempts) {
    const response = await browser.open(`/bff/logout${query}`, { ...headers, accept: '*/*' })
    assertError(response, 400, 'BFF_LOGOUT_REJECTED')
    assert.deepEqual(setCookies(response), [])
  }
  assert.equal((await browser.call('/bff/user')).statusCode, 200)

  for (const site of ['same-origin', 'none']) {
    const another = newBrowser()
    await another.signIn()
    assert.equal((await another.open('/bff/logout', { 'sec-fetch-site': site })).statusCode, 302)
    assert.equal((await another.call('/bff/user')).statusCode, 401)
  }
})

test('bff:logout_url works as a plain link', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const claims: { type: string; value: string }[] = (await browser.call('/bff/user')).json()
  const logoutUrl = claims.find(({ type }) => type === 'bff:logout_url')?.value ?? ''

  assert.equal((await browser.open(logoutUrl, elsewhere)).statusCode, 302)
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
})

test('a logout of one session does not end others of the same user', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const [one, other] = [newBrowser(), newBrowser()]
  await one.signIn()
  await other.signIn()

  await one.open('/bff/logout')

  assert.equal((await one.call('/bff/user')).statusCode, 401)
  assert.equal((await other.call('/bff/user')).statusCode, 200)
})

test('a logout ends at the return URL, never at another origin', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com/shop' } })
  const browser = newBrowser()
  await browser.signIn()
  for (const hostile of openRedirects()) {
    const query = new URLSearchParams({ returnUrl: hostile })
    const response = await browser.open(`/shop/bff/logout?${query}`, { accept: '*/*' })
    assertError(response, 400, 'BFF_INVALID_RETURN_URL')
  }
  assert.equal((await browser.call('/shop/bff/user')).statusCode, 200)

  const atIssuer = await browser.open('/shop/bff/logout?returnUrl=/shop/bye%3Fx=1')
  const back = backFrom(atIssuer)
  assert.match(back, /^\/shop\/bff\/logout-callback\?state=/)
  const answer = await browser.open(back, elsewhere)
  assert.deepEqual([answer.statusCode, locationOf(answer)], [302, '/shop/bye?x=1'])
})

test('a logout comes back to its return URL once, with nothing of the issuer in the address', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const back = backFrom(await browser.open('/bff/logout?returnUrl=/bye%23top'))

  const answer = await browser.open(back, elsewhere)

  assert.deepEqual([answer.statusCode, locationOf(answer)], [302, '/bye#top'])
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.deepEqual(browser.cookies.all(), [])
  assert.equal(locationOf(await browser.open(back, elsewhere)), '/')
})

test('a logout comes back to a return URL of 8 KB too, and without the store to the start page', async (t) => {
  const { newBrowser, app } = await startInjectGateway(t)
  const returnUrl = `/bye?${'x'.repeat(8000)}`
  const { put } = app.sessionStore
  for (const [store, end] of [
    [put, returnUrl],
    [async () => Promise.reject(new StoreUnavailableError(new Error('on purpose'))), '/'],
  ] as const) {
    const browser = newBrowser()
    await browser.signIn()
    app.sessionStore.put = store
    const back = backFrom(await browser.open(`/bff/logout?returnUrl=${returnUrl}`))
    assert.equal(locationOf(await browser.open(back, elsewhere)), end)
  }
})

test('an issuer that returns no state does not strand the user', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  await browser.open('/bff/logout?returnUrl=/bye')

  assert.equal(locationOf(await browser.open('/bff/logout-callback', elsewhere)), '/bye')
})

test('what comes back from no logout of this browser leads to the start page', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com/shop' } })
  const [one, other] = [newBrowser(), newBrowser()]
  await one.signIn()
  const back = backFrom(await one.open('/shop/bff/logout?returnUrl=/shop/bye'))

  for (const [browser, path] of [
    [other, back],
    [other, '/shop/bff/logout-callback'],
    [one, '/shop/bff/logout-callback?state=another'],
    [one, '/shop/bff/logout-callback?state='],
    [one, `${back}&state=another`],
  ] as const) {
    const answer = await browser.open(path, elsewhere)
    assert.deepEqual([answer.statusCode, locationOf(answer)], [302, '/shop/'], path)
  }
  // A cookie that was tampered with, or is one for something else.
  const name = '__Host-bff-logout'
  const sealed = one.cookies.all().find((cookie) => cookie.name === name)?.value ?? ''
  assert.notEqual(sealed, '')
  for (const value of ['', 'nonsense', `A${sealed.slice(1)}`, sealed.slice(0, -2)]) {
    const answer = await other.open(back, { ...elsewhere, cookie: `${name}=${value}` })
    assert.deepEqual([answer.statusCode, locationOf(answer)], [302, '/shop/'], value)
  }
  assert.equal(locationOf(await one.open(back, elsewhere)), '/shop/bye')
})

test('an ID token that is too long for a URL goes to the issuer in a form that submits itself', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser, app } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  await browser.signIn()
  const open = app.sessions.end
  // As that of a user with hundreds of groups.
  const idToken = `e30.${'x'.repeat(20_000)}."&lt;`
  app.sessions.end = async (session) => {
    const record = await open(session)
    return record && { ...record, tokenSet: { ...record.tokenSet, idToken } }
  }

  const response = await browser.open('/bff/logout?returnUrl=/bye')

  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['referrer-policy'], 'strict-origin')
  assert.match(
    String(response.headers['content-security-policy']),
    /^default-src 'none';script-src 'sha256-[\w+/]+=*';base-uri 'none';frame-ancestors 'none'$/,
  )
  const { action, hidden } = formOf(response.body) ?? {}
  assert.equal(action, `${issuer.issuer}/session/end`)
  const { state = '', ...rest } = hidden ?? {}
  assert.deepEqual(rest, {
    id_token_hint: idToken,
    client_id: issuer.clientId,
    post_logout_redirect_uri: 'http://localhost:3000/bff/logout-callback',
  })
  assert.equal(locationOf(await browser.open(`/bff/logout-callback?state=${state}`)), '/bye')
})

test('a logout URL of up to 4,000 characters is a redirect, a longer one a form', async (t) => {
  const { newBrowser, app } = await startInjectGateway(t)
  const end = app.sessions.end
  let idToken = 'x'
  app.sessions.end = async (session) => {
    const record = await end(session)
    return record && { ...record, tokenSet: { ...record.tokenSet, idToken } }
  }
  const logOut = async () => {
    const browser = newBrowser()
    await browser.signIn()
    return browser.open('/bff/logout')
  }
  const spare = 4000 - locationOf(await logOut()).length
  idToken += 'x'.repeat(spare)
  const longest = await logOut()
  idToken += 'x'
  const longer = await logOut()

  assert.equal(locationOf(longest).length, 4000)
  assert.equal(longer.statusCode, 200)
  assert.equal(formOf(longer.body)?.hidden['id_token_hint'], idToken)
})

test('a logout without a session is a redirect too', async (t) => {
  const { newBrowser, issuer } = await startInjectGateway(t)

  const response = await newBrowser().open('/bff/logout?returnUrl=/bye', elsewhere)

  assert.equal(response.statusCode, 302)
  assert.equal(locationOf(response), '/bye')
  assert.deepEqual(issuer.events.revocations(), [])
})

test("a logout works without the issuer's logout and revocation endpoints", async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  issuer.rewrite(metadataPath, (metadata) => {
    delete metadata['end_session_endpoint']
    delete metadata['revocation_endpoint']
  })
  const { newBrowser } = await startInjectGateway(t, { issuer })
  const browser = newBrowser()
  await browser.signIn()

  const response = await browser.open('/bff/logout?returnUrl=/bye')

  assert.equal(response.statusCode, 302)
  assert.equal(locationOf(response), '/bye')
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
})

test('a logout endpoint that is no http URL is ignored', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  for (const endpoint of ['nonsense', '/session/end', 'javascript:alert(1)', 'ftp://localhost/', 7, null]) {
    issuer.rewrite(metadataPath, (metadata) => Object.assign(metadata, { end_session_endpoint: endpoint }))
    const { newBrowser } = await startInjectGateway(t, { issuer })
    const browser = newBrowser()
    await browser.signIn()

    const response = await browser.open('/bff/logout?returnUrl=/bye')

    assert.deepEqual([response.statusCode, locationOf(response)], [302, '/bye'], String(endpoint))
    assert.equal((await browser.call('/bff/user')).statusCode, 401)
  }
})

test('a logout succeeds when revocation fails, or the issuer is down', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser, log } = await startInjectGateway(t, { issuer })
  const [one, other] = [newBrowser(), newBrowser()]
  await one.signIn()
  await other.signIn()

  issuer.rewrite('/token/revocation', (_answer, ctx) => {
    ctx.status = 500
  })
  assert.equal((await one.open('/bff/logout')).statusCode, 302)
  assert.equal((await one.call('/bff/user')).statusCode, 401)

  await issuer.close()
  assert.equal((await other.open('/bff/logout')).statusCode, 302)
  assert.equal((await other.call('/bff/user')).statusCode, 401)
  assert.equal(log().match(/"event":"token\.revocation\.failed"/g)?.length, 2)
})

test('two parallel logouts both redirect', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const responses = await Promise.all([browser.open('/bff/logout'), browser.open('/bff/logout')])
  assert.deepEqual(
    responses.map(({ statusCode }) => statusCode),
    [302, 302],
  )
})

const notOfAPerson: Record<string, string>[] = [
  { 'sec-purpose': 'prefetch' },
  { 'sec-purpose': 'prefetch;prerender' },
  { 'sec-purpose': 'prefetch;anonymous-client-ip' },
  { purpose: 'prefetch' },
  { purpose: 'preview' },
  { 'x-purpose': 'preview' },
  { 'x-sec-purpose': 'prefetch' },
  { 'x-moz': 'prefetch' },
  { 'next-router-prefetch': '1' },
  { 'next-router-segment-prefetch': '/_tree' },
  { 'x-middleware-prefetch': '1' },
  { 'hx-preloaded': 'true' },
  { 'sec-speculation-tags': 'null' },
  { 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'cors' },
  { 'sec-fetch-dest': 'image', 'sec-fetch-mode': 'no-cors' },
  { 'sec-fetch-dest': 'iframe', 'sec-fetch-mode': 'navigate' },
  { 'sec-fetch-dest': 'embed', 'sec-fetch-mode': 'navigate' },
  { 'sec-fetch-mode': 'same-origin' },
]

test("only a user's navigation ends a session: no prefetch, prerender, script, element, frame or HEAD", async (t) => {
  const { app, newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const url = `/bff/logout?sid=${await sidOf(browser)}`

  for (const headers of notOfAPerson) {
    const answer = await browser.open(url, { 'sec-fetch-site': 'same-origin', accept: '*/*', ...headers })
    assertError(answer, 400, 'BFF_LOGOUT_REJECTED')
    assert.equal(answer.headers['clear-site-data'], undefined)
    assert.deepEqual(setCookies(answer), [])
  }
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''
  const head = await app.inject({ method: 'HEAD', url, headers: { cookie, 'sec-fetch-site': 'none' } })
  assert.equal(head.statusCode, 405)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)

  const person = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-user': '?1' }
  assert.equal((await browser.open(url, person)).statusCode, 302)
})

const ofAPerson: Record<string, string>[] = [
  {},
  { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'service-worker-navigation-preload': 'true' },
  { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'empty' },
  { 'x-deployment': 'preview', 'x-preview-environment': 'pr-7', 'x-resource-purposes': 'demo' },
]

test('a click logs out through a service worker too, and with headers that a proxy adds', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  for (const headers of ofAPerson) {
    const browser = newBrowser()
    await browser.signIn()
    const answer = await browser.open(`/bff/logout?sid=${await sidOf(browser)}`, headers)
    assert.equal(answer.statusCode, 302, JSON.stringify(headers))
  }
})

test("Sec-Fetch-Site of a service worker's request does not replace the sid", async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const passedOn = {
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'empty',
    'sec-fetch-site': 'same-origin',
  }

  assertError(await browser.open('/bff/logout', { ...passedOn, accept: '*/*' }), 400, 'BFF_LOGOUT_REJECTED')
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test("a logout clears the browser's cache, a link from another site without a session does not", async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const cacheCleared = async (headers: Record<string, string> = {}) =>
    (await browser.open('/bff/logout', headers)).headers['clear-site-data']

  assert.equal(await cacheCleared(), '"cache"')
  assert.equal(await cacheCleared(), '"cache"')
  assert.equal(await cacheCleared(elsewhere), undefined)
})

test('a logout clears the cookie even if the store can not tell whether there is a newer session', async (t) => {
  const { app, newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  t.mock.method(app.sessionStore, 'markerTtlMs', async () => {
    throw new StoreUnavailableError(new Error('on purpose'))
  })

  const answer = await browser.open('/bff/logout')

  assert.equal(answer.statusCode, 302)
  assert.ok(setCookies(answer).some((cookie) => cookie.startsWith('bff=;')))
})
