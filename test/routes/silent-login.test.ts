import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { LightMyRequestResponse } from 'fastify'
import { startIssuer } from '../../demo/issuer.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { assertError } from '../support/assert-error.ts'
import { type InjectBrowser, locationOf, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const inFrame = { 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'iframe' }
const fromIssuer = { ...inFrame, 'sec-fetch-site': 'cross-site' }

/** The message that the frame posts to its page, if the policy lets its script run. */
function message(response: LightMyRequestResponse): unknown {
  assert.match(String(response.headers['content-type']), /^text\/html/)
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['x-frame-options'], 'SAMEORIGIN')
  const [, script = ''] = /<script>(.*)<\/script>/s.exec(response.body) ?? []
  const hash = createHash('sha256').update(script).digest('base64')
  assert.equal(
    response.headers['content-security-policy'],
    `default-src 'none';script-src 'sha256-${hash}';frame-ancestors 'self'`,
  )
  const [[told, target] = [], ...others] = run(script)
  assert.equal(target, 'https://app.example.com')
  assert.deepEqual(others, [])
  return told
}

/** @returns what the frame's script posts, with the origin that may receive it */
function run(script: string): [message: unknown, origin: unknown][] {
  const sent: [unknown, unknown][] = []
  const parent = { postMessage: (...args: [unknown, unknown]) => sent.push(args) }
  const replaced: unknown[] = []
  const history = { replaceState: (...args: unknown[]) => replaced.push(args[2]) }
  new Function('parent', 'history', 'location', script)(parent, history, {
    origin: 'https://app.example.com',
  })
  assert.deepEqual(replaced, ['/bff/silent-login-callback'])
  return sent
}

const loggedIn = { source: 'bff-silent-login', isLoggedIn: true }
const notLoggedIn = { source: 'bff-silent-login', isLoggedIn: false }

async function silently(browser: InjectBrowser, path = '/bff/silent-login'): Promise<LightMyRequestResponse> {
  const begun = await browser.open(path, inFrame)
  assert.equal(begun.statusCode, 302)
  const atIssuer = new URL(locationOf(begun))
  assert.equal(atIssuer.searchParams.get('prompt'), 'none')
  return browser.open(await browser.authorize(atIssuer), fromIssuer)
}

const ways = [
  '/bff/silent-login',
  '/bff/login?prompt=none',
  '/bff/login?prompt=none&returnUrl=/bff/silent-login-callback',
]
for (const path of ways) {
  test(`a frame at ${path} posts to its page whether the user is logged in`, async (t) => {
    const { newBrowser } = await startInjectGateway(t)
    const browser = newBrowser()

    const unknown = await silently(browser, path)
    assert.equal(unknown.statusCode, 200)
    assert.deepEqual(message(unknown), notLoggedIn)
    assert.deepEqual(browser.cookies.all(), [])

    await browser.signIn()
    const before = browser.cookies.get('bff')
    const known = await silently(browser, path)
    assert.equal(known.statusCode, 200)
    assert.deepEqual(message(known), loggedIn)
    assert.notEqual(browser.cookies.get('bff'), before)
    assert.equal((await browser.call('/bff/user')).statusCode, 200)
  })
}

test('after any error in a frame, its page gets isLoggedIn: false', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const fail = async (query: string) => {
    const atIssuer = new URL(locationOf(await browser.open('/bff/silent-login', inFrame)))
    const state = atIssuer.searchParams.get('state')
    return browser.open(`/bff/callback?state=${state}&${query}`, fromIssuer)
  }
  for (const query of ['error=server_error', 'code=wrong', 'error=access_denied']) {
    const response = await fail(query)
    assert.equal(response.statusCode, 400)
    assert.deepEqual(message(response), notLoggedIn)
    assert.deepEqual(browser.cookies.all(), [])
  }
  for (const path of ['/bff/silent-login?max_age=soon', '/bff/login?prompt=none&max_age=soon']) {
    const invalid = await browser.open(path, inFrame)
    assert.equal(invalid.statusCode, 400)
    assert.deepEqual(message(invalid), notLoggedIn)
  }
})

test('while the issuer is down the page gets isLoggedIn: false', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  await issuer.close()
  const { newBrowser } = await startInjectGateway(t, { issuer })
  const response = await newBrowser().open('/bff/silent-login', inFrame)
  assert.equal(response.statusCode, 503)
  assert.deepEqual(message(response), notLoggedIn)
})

test('while the store is down the page gets isLoggedIn: false, and the session stays', async (t) => {
  const { app, newBrowser, log } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const callback = await browser.authorize(
    new URL(locationOf(await browser.open('/bff/silent-login', inFrame))),
  )
  const { addMarker } = app.sessionStore
  app.sessionStore.addMarker = async () => {
    throw new StoreUnavailableError(new Error('on purpose'))
  }
  const response = await browser.open(callback, fromIssuer)

  assert.equal(response.statusCode, 503)
  assert.deepEqual(message(response), notLoggedIn)
  assert.deepEqual(setCookies(response), [])
  assert.match(log(), /"level":50,.*BFF_STORE_UNAVAILABLE/)
  app.sessionStore.addMarker = addMarker
  assert.deepEqual(message(await browser.open(callback, fromIssuer)), loggedIn)
})

test('a login with prompt=none redirects to its return URL; in a frame without one it posts the message', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const endOf = async (path: string, headers: Record<string, string>) => {
    const browser = newBrowser()
    const atIssuer = new URL(locationOf(await browser.open(path, headers)))
    return locationOf(await browser.open(await browser.authorize(atIssuer), fromIssuer))
  }
  const navigation = { ...inFrame, 'sec-fetch-dest': 'document' }
  assert.equal(await endOf('/bff/login?prompt=none', navigation), '/')
  assert.equal(await endOf('/bff/login?prompt=none', {}), '/')
  assert.equal(await endOf('/bff/login?prompt=none&returnUrl=/start', inFrame), '/start')
  assert.equal(await endOf('/bff/login', inFrame), '/')
})

test('a login cookie for frames is cleared with the same attributes, or browsers would ignore it', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com' } })
  const browser = newBrowser()
  for (const error of ['login_required', 'server_error']) {
    const atIssuer = new URL(locationOf(await browser.open('/bff/silent-login', inFrame)))
    const state = atIssuer.searchParams.get('state')
    const [cleared] = setCookies(
      await browser.open(`/bff/callback?state=${state}&error=${error}`, fromIssuer),
    )
    assert.match(cleared ?? '', /^__Host-bff-tx-[^=]+=; Max-Age=0; .*; Secure; SameSite=None$/)
  }
})

test('a page whose frame comes back with a login that is not known here, or too often, hears of it too', async (t) => {
  const limits = { requestsPerMinute: 2 }
  const { newBrowser } = await startInjectGateway(t, { extras: { limits } })
  const browser = newBrowser()
  const unknown = await browser.open('/bff/callback?state=unknown&code=x', fromIssuer)
  assert.equal(unknown.statusCode, 400)
  assert.deepEqual(message(unknown), notLoggedIn)

  await browser.open('/bff/silent-login', inFrame)
  for (const path of ['/bff/silent-login', '/bff/login?prompt=none', '/bff/callback?state=unknown']) {
    const limited = await browser.open(path, inFrame)
    assert.equal(limited.statusCode, 429)
    assert.deepEqual(message(limited), notLoggedIn)
  }
  const login = await browser.open('/bff/login', inFrame)
  assert.match(login.body, /<h1>Too many requests/)
})

const spa = 'https://spa.example.com'

/** As {@link message}, for a page of another origin. */
function foreignMessages(response: LightMyRequestResponse, ancestors: string) {
  const { headers, body } = response
  assert.match(String(headers['content-security-policy']), new RegExp(`;frame-ancestors ${ancestors}$`))
  assert.equal(headers['x-frame-options'], undefined)
  assert.equal(headers['cross-origin-resource-policy'], undefined)
  return run(/<script>(.*)<\/script>/s.exec(body)?.[1] ?? '')
}

test('a page of a listed origin gets the outcome, and no other page does', async (t) => {
  const env = { CORS_ORIGINS: `${spa},https://admin.example.com` }
  const { newBrowser } = await startInjectGateway(t, { env })
  const browser = newBrowser()
  await browser.signIn()
  for (const path of ways) {
    const from = { ...fromIssuer, referer: `${spa}/` }
    const begun = await browser.open(path, from)
    const callback = await browser.authorize(new URL(locationOf(begun)))
    // The issuer's redirect keeps the referrer of the page or none.
    for (const referer of ['https://evil.example/', '']) {
      const ended = await browser.open(callback, { ...fromIssuer, ...(referer && { referer }) })
      const isFirst = referer !== ''
      assert.equal(ended.statusCode, isFirst ? 200 : 400)
      if (isFirst) assert.deepEqual(foreignMessages(ended, spa), [[loggedIn, spa]])
    }
    const failing = await browser.authorize(new URL(locationOf(await browser.open(path, from))))
    const failed = await browser.open(failing.replace(/code=[^&]*/, 'code=wrong'), fromIssuer)
    assert.equal(failed.statusCode, 400)
    assert.deepEqual(foreignMessages(failed, spa), [[notLoggedIn, spa]])
  }
  const opened = await browser.open('/bff/silent-login-callback', { ...inFrame, referer: `${spa}/page` })
  assert.deepEqual(foreignMessages(opened, spa), [[loggedIn, spa]])

  // Browsers deliver a message only to the origin that it is for.
  const all = ['https://app.example.com', spa, 'https://admin.example.com']
  const unknown = await browser.open('/bff/silent-login-callback', inFrame)
  assert.deepEqual(
    foreignMessages(unknown, `'self' ${spa} https://admin.example.com`),
    all.map((origin) => [loggedIn, origin]),
  )
  const own = await browser.open('/bff/silent-login-callback', {
    ...inFrame,
    referer: 'http://localhost:3000/page',
  })
  assert.deepEqual(message(own), loggedIn)
})

test('a page whose origin only looks like a listed one gets nothing', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { CORS_ORIGINS: spa } })
  for (const referer of [
    'https://spa.example.com.evil.example/',
    'https://spa.example.com@evil.example/',
    'https://spa.example.com:8443/',
    'http://spa.example.com/',
    'https://evil.example/https://spa.example.com/',
    'null',
  ]) {
    const headers = { ...fromIssuer, accept: '*/*', referer }
    assertError(await newBrowser().open('/bff/silent-login', headers), 403, 'BFF_CSRF_REJECTED')
  }
})

test('another site can not begin a silent login', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  for (const path of ways) {
    const response = await newBrowser().open(path, { ...fromIssuer, accept: '*/*' })
    assertError(response, 403, 'BFF_CSRF_REJECTED')
    assert.deepEqual(setCookies(response), [])
  }
})

test('a frame that opens the callback directly gets a message about the current session', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  assert.deepEqual(message(await browser.open('/bff/silent-login-callback', inFrame)), notLoggedIn)
  await browser.signIn()
  assert.deepEqual(message(await browser.open('/bff/silent-login-callback', inFrame)), loggedIn)
})

test('the cookie of a silent login is SameSite=None on https, others are Lax', async (t) => {
  const sameSite = async (t: TestContext, publicUrl: string, path: string, dest = 'iframe') => {
    const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: publicUrl } })
    const headers = { ...inFrame, 'sec-fetch-dest': dest }
    const [cookie = ''] = setCookies(await newBrowser().open(path, headers))
    return /; HttpOnly; (.*)$/.exec(cookie)?.[1]
  }
  assert.equal(await sameSite(t, 'https://app.example.com', '/bff/silent-login'), 'Secure; SameSite=None')
  assert.equal(
    await sameSite(t, 'https://app.example.com', '/bff/login?prompt=none'),
    'Secure; SameSite=None',
  )
  assert.equal(
    await sameSite(t, 'https://app.example.com', '/bff/login?prompt=none', 'document'),
    'Secure; SameSite=Lax',
  )
  assert.equal(await sameSite(t, 'http://localhost:3000', '/bff/silent-login'), 'SameSite=Lax')
})
