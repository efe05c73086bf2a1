import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { assertError } from '../support/assert-error.ts'
import { type InjectBrowser, setCookies } from '../support/inject-browser.ts'
import { newKey, startInjectGateway } from '../support/inject-gateway.ts'

const loginUrl = '/bff/login'
const localhost = new URL('http://localhost:3000/')

function withCookie(browser: InjectBrowser, value: string): InjectBrowser {
  browser.cookies.store(localhost, [`bff=${value}; Path=/`])
  return browser
}

function valueOfCookie(browser: InjectBrowser): string {
  return browser.cookies.get('bff')?.value ?? assert.fail('no session cookie')
}

const kinds: [env: Record<string, string>, cookie: RegExp][] = [
  [{}, /^bff=[^;]+; Max-Age=604800; Path=\/; HttpOnly; SameSite=Strict$/],
  [
    { PUBLIC_URL: 'https://app.example.com' },
    /^__Host-bff=[^;]+; Max-Age=604800; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
  ],
  [
    { PUBLIC_URL: 'https://app.example.com/shop', COOKIE_SAMESITE: 'lax' },
    /^__Host-bff=[^;]+; Max-Age=604800; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
  ],
  [
    { PUBLIC_URL: 'https://app.example.com', COOKIE_SAMESITE: 'none', COOKIE_NAME: '__Secure-shop' },
    /^__Secure-shop=[^;]+; Max-Age=604800; Path=\/; HttpOnly; Secure; SameSite=None$/,
  ],
]
for (const [env, attributes] of kinds)
  test(`name and attributes of the session cookie with ${JSON.stringify(env)}`, async (t) => {
    const { newBrowser, path } = await startInjectGateway(t, { env })
    const browser = newBrowser()

    const cookies = setCookies(await browser.signIn())

    const sessionCookies = cookies.filter((cookie) => !/^[^=]*-tx-/.test(cookie))
    assert.equal(sessionCookies.length, 1)
    assert.match(sessionCookies[0] ?? '', attributes)
    assert.equal((await browser.call(path('/bff/user'))).statusCode, 200)
    const [name = ''] = sessionCookies[0]?.split('=') ?? []
    const set = setCookies(await browser.open(path('/bff/logout')))
    const cleared = set.find((cookie) => cookie.startsWith(`${name}=`))
    assert.match(cleared ?? '', /=; Max-Age=0; Path=\/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly;/)
    assert.equal(browser.cookies.get(name), undefined)
  })

test('the session cookie is small and reveals nothing', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const value = decodeURIComponent(valueOfCookie(browser))
  assert.ok(value.length < 300, `${value.length} bytes`)
  assert.doesNotMatch(Buffer.from(value, 'base64').toString('latin1'), /alice|"id"|"key"/)
})

test('a cookie that can not be opened is no session, never an error, and is not cleared', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const value = valueOfCookie(browser)
  const plain = decodeURIComponent(value)
  const [cipher = '', nonce = ''] = plain.split(';')
  const damaged = [
    '',
    'x',
    ';',
    ';;',
    '%zz',
    '%00',
    '""',
    'null',
    '{}',
    'undefined',
    encodeURIComponent(`${cipher};`),
    encodeURIComponent(`;${nonce}`),
    encodeURIComponent(`${nonce};${cipher}`),
    encodeURIComponent(`${cipher.slice(0, 20)};${nonce}`),
    encodeURIComponent(`AAAA;${nonce}`),
    encodeURIComponent(`${flipped(cipher)};${nonce}`),
    encodeURIComponent(`${cipher};${flipped(nonce)}`),
    value.slice(0, -1),
    value.slice(0, value.length / 2),
    'x'.repeat(8000),
    randomBytes(3000).toString('base64url'),
    encodeURIComponent(`${randomBytes(200).toString('base64')};${randomBytes(24).toString('base64')}`),
  ]
  for (const wrong of damaged) {
    const other = withCookie(newBrowser(), wrong)
    const user = await other.call('/bff/user')
    assertError(user, 401, 'BFF_SESSION_REQUIRED', { loginUrl })
    const view = await other.call('/bff/session')
    assert.equal(view.json().isAuthenticated, false)
    const logout = await other.open('/bff/logout')
    assert.equal(logout.statusCode, 302)
    for (const response of [user, view, logout])
      assert.deepEqual(setCookies(response), [], wrong.slice(0, 50))
  }
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('a cookie sealed by another gateway is no session', async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const elsewhere = await startInjectGateway(t)
  const browser = elsewhere.newBrowser()
  await browser.signIn()

  const response = await withCookie(newBrowser(), valueOfCookie(browser)).call('/bff/user')

  assertError(response, 401, 'BFF_SESSION_REQUIRED', { loginUrl })
  assert.deepEqual(setCookies(response), [])
})

test('a cookie does not open after the lifetime of its session', async (t) => {
  const env = { SESSION_LIFETIME: '1h', SESSION_IDLE_TIMEOUT: '30m' }
  const { newBrowser } = await startInjectGateway(t, { env })
  const browser = newBrowser()
  await browser.signIn()
  const value = valueOfCookie(browser)

  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 })

  const response = await newBrowser().call('/bff/user', { headers: { cookie: `bff=${value}` } })
  assertError(response, 401, 'BFF_SESSION_REQUIRED', { loginUrl })
})

test("with two cookies of the same name no request gets another user's session", async (t) => {
  const { newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  await browser.signIn()
  const value = valueOfCookie(browser)
  for (const cookie of [`bff=${value}; bff=x`, `bff=x; bff=${value}`]) {
    const response = await newBrowser().call('/bff/session', { headers: { cookie } })
    assert.equal(response.json().identity.name, 'Alice Example')
  }

  // Injected by a sibling subdomain with a longer path: browsers send it first.
  const attacker = newBrowser()
  await attacker.signIn('bob')
  const planted = valueOfCookie(attacker)
  for (const cookie of [
    `bff=${planted}; bff=${value}`,
    `bff=${value}; bff=${planted}`,
    // As browsers send a cookie without a name and with this value.
    `bff =${planted}; bff=${value}`,
    `bff\t=${planted};bff=${value}`,
  ]) {
    const response = await newBrowser().call('/bff/user', { headers: { cookie } })
    assertError(response, 401, 'BFF_SESSION_REQUIRED', { loginUrl: '/bff/login' })
    assert.deepEqual(setCookies(response), [])
  }
})

test('a cookie that a sibling subdomain can set never counts as one with the prefix __Host-', async (t) => {
  const { newBrowser } = await startInjectGateway(t, { env: { PUBLIC_URL: 'https://app.example.com' } })
  const attacker = newBrowser()
  await attacker.signIn('bob')
  const planted = attacker.cookies.get('__Host-bff')?.value
  assert.ok(planted)
  for (const name of [
    '\xa0__Host-bff',
    '__Host-bff\xa0',
    '\x85__Host-bff',
    '__host-bff',
    '__HOST-bff',
    'bff',
  ]) {
    for (const cookie of [`${name}=${planted}`, `${name}=${planted}; ${name}=x`]) {
      const response = await newBrowser().call('/bff/user', { headers: { cookie } })
      assertError(response, 401, 'BFF_SESSION_REQUIRED', { loginUrl })
      assert.deepEqual(setCookies(response), [])
    }
  }
})

test('rotating keys ends no session: the new one added as second, moved to the front, the old one dropped', async (t) => {
  const [oldKey, freshKey] = [newKey(), newKey()]
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const gateway = (keys: string) => startInjectGateway(t, { issuer, env: { SESSION_KEYS: keys } })
  const before = await gateway(oldKey)
  const added = await gateway(`${oldKey},${freshKey}`)
  const moved = await gateway(`${freshKey},${oldKey}`)
  const dropped = await gateway(freshKey)
  // They have the same sessions, as with a shared store.
  for (const { app } of [added, moved, dropped]) {
    for (const method of ['read', 'touch', 'destroy'] as const) {
      t.mock.method(app.sessionStore, method, before.app.sessionStore[method])
    }
  }
  const browser = before.newBrowser()
  await browser.signIn()
  const original = valueOfCookie(browser)

  const inAdded = withCookie(added.newBrowser(), original)
  assert.equal((await inAdded.call('/bff/user')).statusCode, 200)
  assert.equal(valueOfCookie(inAdded), original)

  const inMoved = withCookie(moved.newBrowser(), original)
  assert.equal((await inMoved.call('/bff/user')).statusCode, 200)
  const sealedAnew = valueOfCookie(inMoved)
  assert.notEqual(sealedAnew, original)

  assert.equal((await withCookie(dropped.newBrowser(), sealedAnew).call('/bff/user')).statusCode, 200)
  assert.equal((await withCookie(added.newBrowser(), sealedAnew).call('/bff/user')).statusCode, 200)
  const tooLate = await withCookie(dropped.newBrowser(), original).call('/bff/user')
  assertError(tooLate, 401, 'BFF_SESSION_REQUIRED', { loginUrl })
  assert.deepEqual(setCookies(tooLate), [])
})

test('a login that began before a key rotation can be finished after it', async (t) => {
  const [oldKey, freshKey] = [newKey(), newKey()]
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const before = await startInjectGateway(t, { issuer, env: { SESSION_KEYS: oldKey } })
  const after = await startInjectGateway(t, { issuer, env: { SESSION_KEYS: `${freshKey},${oldKey}` } })
  const browser = before.newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())

  const cookie = browser.cookies.headerFor(localhost) ?? ''
  const response = await after.newBrowser().open(callback, { cookie })

  assert.equal(response.statusCode, 302)
  assert.ok(setCookies(response).some((value) => value.startsWith('bff=')))
})

function flipped(base64: string): string {
  const bytes = Buffer.from(base64, 'base64')
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  return bytes.toString('base64')
}
