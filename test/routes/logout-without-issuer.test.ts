import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { locationOf, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

/** An issuer whose metadata are changed. */
async function start(t: TestContext, change: Record<string, unknown>, env: Record<string, string> = {}) {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  issuer.rewrite(metadataPath, (metadata) => Object.assign(metadata, change))
  const gateway = await startInjectGateway(t, { issuer, env })
  return { ...gateway, issuer, browser: gateway.newBrowser() }
}

const noLogout = { end_session_endpoint: undefined }

test('after a logout at an issuer that has none, the next login asks for a password, and only that one', async (t) => {
  const { browser, newBrowser } = await start(t, noLogout)
  assert.equal((await browser.beginLogin()).searchParams.get('prompt'), null)
  await browser.signIn()
  assert.equal(locationOf(await browser.open('/bff/logout?returnUrl=/bye')), '/bye')

  assert.equal((await browser.beginLogin()).searchParams.get('prompt'), 'login')
  const combined = await browser.beginLogin({ prompt: 'consent' })
  assert.equal(combined.searchParams.get('prompt'), 'consent login')
  assert.equal((await newBrowser().beginLogin()).searchParams.get('prompt'), null)

  await browser.signIn()
  assert.equal((await browser.beginLogin()).searchParams.get('prompt'), null)
})

test('a silent login does not sign in who has just logged out', async (t) => {
  const { browser } = await start(t, noLogout)
  await browser.signIn()
  await browser.open('/bff/logout')

  const navigation = await browser.open('/bff/login?prompt=none&returnUrl=/start')
  assert.deepEqual([navigation.statusCode, locationOf(navigation)], [302, '/start'])
  const frame = await browser.open('/bff/silent-login', { 'sec-fetch-dest': 'iframe' })
  assert.equal(locationOf(frame), '/bff/silent-login-callback')
  const outcome = await browser.open(locationOf(frame), { 'sec-fetch-dest': 'iframe' })
  assert.match(outcome.body, /isLoggedIn: false/)
})

test('a frame of a page on another site knows of the logout too, so its cookie is not Lax there', async (t) => {
  const url = { PUBLIC_URL: 'https://app.example.com' }
  const cases: [env: Record<string, string>, attributes: string][] = [
    [{ ...url, CORS_ORIGINS: 'https://spa.example' }, 'Secure; SameSite=None'],
    [{ ...url, COOKIE_SAMESITE: 'none' }, 'Secure; SameSite=None'],
    [url, 'Secure; SameSite=Lax'],
    // Browsers refuse SameSite=None without Secure.
    [{ CORS_ORIGINS: 'https://spa.example' }, 'SameSite=Lax'],
  ]
  for (const [env, attributes] of cases) {
    const { browser } = await start(t, noLogout, env)
    await browser.signIn()
    const marker = async (path: string) =>
      setCookies(await browser.open(path)).find((cookie) => cookie.includes('-logged-out=')) ?? ''
    const set = await marker('/bff/logout')
    assert.match(set, new RegExp(`=1; Max-Age=2592000; Path=/; HttpOnly; ${attributes}$`))
    const cleared = await marker(await browser.authorize(await browser.beginLogin()))
    assert.match(cleared, new RegExp(`=; Max-Age=0; .*HttpOnly; ${attributes}$`))
  }
})

test('an issuer that knows no prompt=login is asked to let the user choose an account', async (t) => {
  const { browser } = await start(t, {
    ...noLogout,
    prompt_values_supported: ['none', 'consent', 'select_account'],
  })
  await browser.signIn()
  await browser.open('/bff/logout')
  assert.equal((await browser.beginLogin()).searchParams.get('prompt'), 'select_account')
})

test('at an issuer that logs out, the next login asks for nothing', async (t) => {
  const { browser } = await start(t, {})
  await browser.signIn()
  await browser.open('/bff/logout')
  assert.equal((await browser.beginLogin()).searchParams.get('prompt'), null)
})

test('a logout goes where the template says, and comes back to the return URL', async (t) => {
  const template = 'https://idp.example.com/logout?client_id={client_id}&logout_uri={return_url}&x=1'
  for (const change of [noLogout, {}]) {
    const { browser } = await start(t, change, { OIDC_LOGOUT_URL: template })
    await browser.signIn()
    assert.equal(
      locationOf(await browser.open('/bff/logout?returnUrl=/bye')),
      'https://idp.example.com/logout?client_id=demo&logout_uri=http%3A%2F%2Flocalhost%3A3000%2Fbff%2Flogout-callback&x=1',
    )
    const back = await browser.open('/bff/logout-callback')
    assert.equal(locationOf(back), '/bye')
    assert.equal((await browser.beginLogin()).searchParams.get('prompt'), null)
  }
})

test('offline access is asked for only where the metadata list it', async (t) => {
  for (const [scopes, scope] of [
    [['openid', 'offline_access'], 'openid profile email offline_access'],
    [['openid', 'profile'], 'openid profile email'],
    [undefined, 'openid profile email'],
  ] as const) {
    const { browser } = await start(t, { scopes_supported: scopes })
    assert.equal((await browser.beginLogin()).searchParams.get('scope'), scope)
  }
  const { browser } = await start(t, { scopes_supported: [] }, { OIDC_SCOPE: 'openid offline_access' })
  assert.equal((await browser.beginLogin()).searchParams.get('scope'), 'openid offline_access')
})
