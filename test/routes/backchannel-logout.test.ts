import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { LightMyRequestResponse } from 'fastify'
import {
  decodeJwt,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
} from 'jose'
import { createHttpBrowser } from '../../demo/http-browser.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { type FaultyIssuer, metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { freePort } from '../support/free-port.ts'
import { type InjectBrowser, setCookies } from '../support/inject-browser.ts'
import { type InjectGateway, newKey, startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims, logoutEvent } from '../support/logout-token.ts'
import { redisUrl } from '../support/redis.ts'

const path = '/bff/backchannel-logout'
const form = 'application/x-www-form-urlencoded'

interface World extends Omit<InjectGateway, 'issuer'> {
  issuer: FaultyIssuer
  browser: InjectBrowser
  sid: string
}

/** Alice, signed in at a gateway; the test signs the issuer's logout tokens. */
async function start(t: TestContext): Promise<World> {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const gateway = await startInjectGateway(t, { issuer })
  const browser = gateway.newBrowser()
  await browser.signIn()
  return { ...gateway, issuer, browser, sid: await sidOf(browser) }
}

async function sidOf(browser: InjectBrowser): Promise<string> {
  return (await browser.call('/bff/session')).json().sid
}

async function isSignedIn(browser: InjectBrowser): Promise<boolean> {
  return (await browser.call('/bff/user')).statusCode === 200
}

/** As the issuer sends it, without a browser's headers. */
function notify({ app }: Pick<InjectGateway, 'app'>, token: string): Promise<LightMyRequestResponse> {
  return post({ app }, new URLSearchParams({ logout_token: token }).toString(), form)
}

function post({ app }: Pick<InjectGateway, 'app'>, payload: string | undefined, type: string | undefined) {
  const headers = { ...(type !== undefined && { 'content-type': type }) }
  return app.inject({ method: 'POST', url: path, headers, ...(payload !== undefined && { payload }) })
}

function assertDone(response: LightMyRequestResponse): void {
  assert.equal(response.statusCode, 200, response.body)
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.body, '')
  assert.deepEqual(setCookies(response), [])
}

async function assertStays({ browser }: World, response: LightMyRequestResponse): Promise<void> {
  assertError(response, 400, 'BFF_LOGOUT_REJECTED')
  assert.ok(await isSignedIn(browser))
}

test('a logout at the issuer ends the session here, by its logout token', async (t) => {
  const port = await freePort()
  const { app, log, issuer } = await startInjectGateway(t, {
    env: { PUBLIC_URL: `http://localhost:${port}` },
  })
  await app.listen({ port, host: '127.0.0.1' })
  const [alice, bob] = [createHttpBrowser(), createHttpBrowser()]
  const gateway = `http://localhost:${port}`
  await alice.signIn(gateway, 'alice')
  await bob.signIn(gateway, 'bob')
  const user = (browser: typeof alice) => browser.fetch(`${gateway}/bff/user`, { headers: { 'x-csrf': '1' } })
  assert.deepEqual([(await user(alice)).status, (await user(bob)).status], [200, 200])

  await alice.open(`${issuer.issuer}/session/end`)

  const ended = await user(alice)
  assert.equal(ended.status, 401)
  assert.match(ended.headers.get('set-cookie') ?? '', /^bff=; Max-Age=0;/)
  assert.equal((await user(bob)).status, 200)
  assert.match(log(), /"event":"session\.ended","reason":"backchannel_logout","sessionHash":"/)
})

test('a logout token with a sid ends that session only, one with only sub all sessions of that user', async (t) => {
  const world = await start(t)
  const { issuer, browser, sid, newBrowser } = world
  const [again, bob] = [newBrowser(), newBrowser()]
  await again.signIn('alice')
  await bob.signIn('bob')
  assert.notEqual(await sidOf(again), sid)

  assertDone(await notify(world, await issuer.sign(logoutClaims(issuer, { sub: 'alice', sid }))))
  assert.deepEqual(await Promise.all([browser, again, bob].map(isSignedIn)), [false, true, true])

  await browser.signIn('alice')
  assertDone(await notify(world, await issuer.sign(logoutClaims(issuer, { sub: 'alice' }))))
  assert.deepEqual(await Promise.all([browser, again, bob].map(isSignedIn)), [false, false, true])
})

test('a logout token that arrives during a login ends that login, but not one begun afterwards', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const clock = createFakeClock(Date.now())
  const gateway = await startInjectGateway(t, { issuer, extras: { clock } })
  const browser = gateway.newBrowser()
  await browser.signIn()
  const sid = await sidOf(browser)
  const callback = await browser.authorize(await browser.beginLogin())
  await clock.advance(1000)
  assertDone(await notify(gateway, await issuer.sign(logoutClaims(issuer, { sid }))))
  await clock.advance(1000)

  const response = await browser.call(callback)
  assertError(response, 400, 'BFF_LOGIN_REJECTED', { loginUrl: '/bff/login' })
  assert.equal(await isSignedIn(browser), false)
  const [granted] = issuer.events.grants('authorization_code').slice(-1)
  const [revoked] = issuer.events.revocations()
  assert.equal(revoked?.tokenHash, granted?.issuedRefreshTokenHash)

  await browser.signIn()
  assert.equal(await sidOf(browser), sid)
})

test('tokens of a login that a logout token ends are revoked, though the store fails to end the session', async (t) => {
  const world = await start(t)
  const { app, issuer, browser, sid } = world
  const callback = await browser.authorize(await browser.beginLogin())
  assertDone(await notify(world, await issuer.sign(logoutClaims(issuer, { sid }))))
  t.mock.method(app.sessionStore, 'destroy', async () => {
    throw new StoreUnavailableError(new Error('on purpose'))
  })

  const response = await browser.call(callback)

  assertError(response, 503, 'BFF_STORE_UNAVAILABLE')
  assert.deepEqual(setCookies(response), [])
  const [granted] = issuer.events.grants('authorization_code').slice(-1)
  const revoked = issuer.events.revocations().map(({ tokenHash }) => tokenHash)
  assert.deepEqual(revoked, [granted?.issuedRefreshTokenHash])
})

test('a logout token for an unknown session is accepted', async (t) => {
  const world = await start(t)
  const { issuer, browser } = world

  for (const claims of [{ sid: 'elsewhere' }, { sub: 'carol' }, { sub: 'alice', sid: 'elsewhere' }])
    assertDone(await notify(world, await issuer.sign(logoutClaims(issuer, claims))))

  assert.ok(await isSignedIn(browser))
})

const now = () => Math.floor(Date.now() / 1000)

/** Changes that make a valid logout token invalid. */
const badClaims: Record<string, () => Record<string, unknown>> = {
  'from another issuer': () => ({ iss: 'https://evil.example' }),
  'without an issuer': () => ({ iss: undefined }),
  'from its issuer with a slash appended': () => ({ iss: 'http://localhost:1/' }),
  'for another client': () => ({ aud: 'another' }),
  'for several other clients': () => ({ aud: ['another', 'third'] }),
  'without an audience': () => ({ aud: undefined }),
  'without exp that is older than two minutes': () => ({ iat: now() - 123, exp: undefined }),
  'whose exp is no number': () => ({ exp: 'tomorrow' }),
  'that has expired': () => ({ iat: now() - 120, exp: now() - 60 }),
  'without iat': () => ({ iat: undefined }),
  'issued an hour ago, although it has not expired': () => ({ iat: now() - 3600, exp: now() + 3600 }),
  'issued in the future': () => ({ iat: now() + 120, exp: now() + 240 }),
  'whose nbf is in the future': () => ({ nbf: now() + 120 }),
  'without events': () => ({ events: undefined }),
  'with another event': () => ({ events: { 'http://schemas.openid.net/event/other': {} } }),
  'whose events are null': () => ({ events: null }),
  'whose events are a list': () => ({ events: [logoutEvent] }),
  'whose events are a string': () => ({ events: logoutEvent }),
  'whose event is no object': () => ({ events: { [logoutEvent]: true } }),
  'whose event is a list': () => ({ events: { [logoutEvent]: [] } }),
  'whose event is null': () => ({ events: { [logoutEvent]: null } }),
  'with a nonce': () => ({ nonce: 'n' }),
  'with an empty nonce': () => ({ nonce: '' }),
  'with a nonce that is null': () => ({ nonce: null }),
  'without a jti': () => ({ jti: undefined }),
  'with an empty jti': () => ({ jti: '' }),
  'with a number as jti': () => ({ jti: 7 }),
  'without sid and sub': () => ({ sid: undefined }),
  'with an empty sid': () => ({ sid: '', sub: 'alice' }),
  'whose sid is no string': () => ({ sid: 7, sub: 'alice' }),
  'with a list of sids': () => ({ sid: ['a'] }),
  'with an empty sub': () => ({ sid: undefined, sub: '' }),
  'whose sub is no string': () => ({ sub: ['alice'] }),
}

for (const [what, claims] of Object.entries(badClaims)) {
  test(`a logout token ${what} is refused, and the session stays`, async (t) => {
    const world = await start(t)
    const { issuer, sid } = world
    const token = await issuer.sign(logoutClaims(issuer, { sid, ...claims() }))

    const response = await notify(world, token)

    await assertStays(world, response)
    assert.ok(!response.body.includes(sid) && !response.body.includes(issuer.issuer), response.body)
    assert.match(world.log(), /"event":"logout\.rejected"/)
    assert.ok(!world.log().includes(token))
    assertDone(await notify(world, await issuer.sign(logoutClaims(issuer, { sid }))))
  })
}

test('clocks may differ by half a minute', async (t) => {
  const world = await start(t)
  const { issuer } = world
  for (const claims of [
    { iat: now() + 20, exp: now() + 140 },
    { iat: now() - 140, exp: now() - 20 },
  ]) {
    assertDone(await notify(world, await issuer.sign(logoutClaims(issuer, { sid: 'any', ...claims }))))
  }
})

test('a logout token without exp is accepted while it is new', async (t) => {
  const world = await start(t)
  const { issuer, browser, sid } = world
  const claims = logoutClaims(issuer, { sid, iat: now() - 115, exp: undefined })
  assertDone(await notify(world, await issuer.sign(claims)))
  assert.equal(await isSignedIn(browser), false)
})

test('the typ of a logout token is logout+jwt, JWT or missing', async (t) => {
  const world = await start(t)
  const { issuer, browser, sid } = world
  const send = async (typ: string | undefined, claims = {}) =>
    notify(
      world,
      await issuer.sign(logoutClaims(issuer, { sid, ...claims }), typ === undefined ? {} : { typ }),
    )

  for (const typ of ['at+jwt', 'secevent+jwt', 'dpop+jwt', 'x', 'xlogout+jwt', 'logout+jwtx'])
    await assertStays(world, await send(typ))
  for (const typ of [undefined, 'JWT', 'logout+jwt', 'application/logout+jwt'])
    assertDone(await send(typ, { sid: 'elsewhere' }))
  assert.ok(await isSignedIn(browser))
})

test('other claims of a logout token, and other fields of its form, are ignored', async (t) => {
  const world = await start(t)
  const { issuer, browser, sid } = world
  const more = {
    auth_time: 'never',
    azp: 'another',
    toe: 1,
    'https://example.com/x': { nonce: 'n' },
    typ: 'x',
  }
  const events = { [logoutEvent]: { reason: 'x' }, 'http://schemas.openid.net/event/other': {} }
  const token = await issuer.sign(logoutClaims(issuer, { sid, sub: 'alice', events, ...more }), { cty: 'x' })

  assertDone(await post(world, `nonce=n&logout_token=${token}&sid=another&iss=x&logout_token2=x`, form))

  assert.equal(await isSignedIn(browser), false)
})

test("only the issuer's keys are accepted, with the algorithms of its ID tokens", async (t) => {
  const world = await start(t)
  const { issuer, sid, app } = world
  const claims = () => logoutClaims(issuer, { sid }) as JWTPayload
  const good = await issuer.sign(logoutClaims(issuer, { sid }))
  const [head = '', body = ''] = good.split('.')
  const { kid = '' } = JSON.parse(Buffer.from(head, 'base64url').toString())
  const stranger = await generateKeyPair('ES256')
  const { keys } = (await (await fetch(`${issuer.issuer}/jwks`)).json()) as { keys: { kid: string }[] }
  const publicKey = keys.find((key) => key.kid === kid)
  assert.ok(publicKey)
  const other = await issuer.sign(logoutClaims(issuer, { sid: 'other' }))

  const tokens: Record<string, string> = {
    "another key under the kid of the issuer's": await new SignJWT(claims())
      .setProtectedHeader({ alg: 'ES256', kid })
      .sign(stranger.privateKey),
    'a key with an unknown kid': await new SignJWT(claims())
      .setProtectedHeader({ alg: 'ES256', kid: 'unknown' })
      .sign(stranger.privateKey),
    'a key in the header of the token': await new SignJWT(claims())
      .setProtectedHeader({ alg: 'ES256', jwk: await exportJWK(stranger.publicKey) })
      .sign(stranger.privateKey),
    'no signature': new UnsecuredJWT(claims()).encode(),
    'no signature, with the header unchanged': `${head}.${body}.`,
    'the client secret': await new SignJWT(claims())
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(issuer.clientSecret)),
    'the public key as an HMAC secret': await new SignJWT(claims())
      .setProtectedHeader({ alg: 'HS256', kid })
      .sign(new TextEncoder().encode(JSON.stringify(publicKey))),
    'an algorithm that the issuer does not use': await new SignJWT(claims())
      .setProtectedHeader({ alg: 'ES384', kid })
      .sign((await generateKeyPair('ES384')).privateKey),
    'the signature of another token': [head, body, other.split('.')[2]].join('.'),
    'a truncated signature': good.slice(0, -4),
    nothing: '',
    'no token': 'nonsense',
    'empty parts': '..',
    'an encrypted token': 'a.b.c.d.e',
  }
  for (const [what, token] of Object.entries(tokens)) {
    const response = await notify({ app }, token)
    assert.equal(response.statusCode, 400, what)
    await assertStays(world, response)
  }

  assertDone(await notify({ app }, good))
})

test('an ID token or access token is no logout token, although the same issuer signed it for the same client', async (t) => {
  const world = await start(t)
  const { browser, publicUrl } = world
  const logout = await world.newBrowser()
  await logout.signIn()
  const url = new URL(String((await logout.open('/bff/logout')).headers['location']))
  const idToken = url.searchParams.get('id_token_hint') ?? ''
  assert.equal(decodeJwt(idToken).sub, 'alice')

  await assertStays(world, await notify(world, idToken))
  assert.equal(publicUrl.pathname, '/')
  assert.ok(await isSignedIn(browser))
})

test('algorithms without a key or with the client secret are refused, even if the metadata name them', async (t) => {
  const world = await start(t)
  const { issuer, sid, publicUrl } = world
  issuer.rewrite(metadataPath, (metadata) => {
    metadata['id_token_signing_alg_values_supported'] = ['none', 'HS256', 'hs256', 'ES256']
  })
  const fresh = await startInjectGateway(t, { issuer, env: { PUBLIC_URL: publicUrl.href } })
  const claims = logoutClaims(issuer, { sid }) as JWTPayload
  const secret = await importJWK({ kty: 'oct', k: Buffer.from(issuer.clientSecret).toString('base64url') })

  for (const token of [
    new UnsecuredJWT(claims).encode(),
    await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(secret),
  ]) {
    assertError(await notify(fresh, token), 400, 'BFF_LOGOUT_REJECTED')
  }
  assertDone(await notify(fresh, await issuer.sign(logoutClaims(issuer, { sid }))))
})

test('anything but a form with one logout_token is refused', async (t) => {
  const world = await start(t)
  const { issuer, sid, app } = world
  const token = await issuer.sign(logoutClaims(issuer, { sid }))
  const field = `logout_token=${token}`
  const requests: [payload: string | undefined, type: string | undefined][] = [
    [undefined, undefined],
    [undefined, form],
    ['', form],
    ['logout_token', form],
    [`${field}&${field}`, form],
    [`${field}&logout_token=`, form],
    [`LOGOUT_TOKEN=${token}`, form],
    [`logout_token[]=${token}`, form],
    [token, form],
    [JSON.stringify({ logout_token: token }), 'application/json'],
    ['{"logout_token":', 'application/json'],
    ['', 'application/json'],
    [field, 'text/plain'],
    [field, 'application/x-www-form-urlencodedx'],
    [token, 'application/jwt'],
    [
      `--x\r\nContent-Disposition: form-data; name="logout_token"\r\n\r\n${token}\r\n--x--\r\n`,
      'multipart/form-data; boundary=x',
    ],
  ]
  for (const [payload, type] of requests) await assertStays(world, await post(world, payload, type))
  const inQuery = await app.inject({
    method: 'POST',
    url: `${path}?${field}`,
    headers: { 'content-type': form },
  })
  await assertStays(world, inQuery)
  for (const method of ['GET', 'PUT', 'HEAD', 'DELETE'] as const)
    assert.equal((await app.inject({ method, url: `${path}?${field}` })).statusCode, 405)

  assertDone(await post(world, `x=1&${field}&y=2`, 'Application/X-WWW-Form-Urlencoded; charset=UTF-8'))
})

test('a body that is too large is not read to its end', async (t) => {
  const world = await start(t)
  const response = await post(world, `logout_token=${'x'.repeat(2_000_000)}`, form)
  assertError(response, 413, 'BFF_BODY_TOO_LARGE')
})

test('a logout token is used once: sent again later, it ends no newer session', async (t) => {
  const world = await start(t)
  const { issuer, browser } = world
  const claims = logoutClaims(issuer, { sub: 'alice' })
  assertDone(await notify(world, await issuer.sign(claims)))
  assert.equal(await isSignedIn(browser), false)
  await browser.signIn()

  await assertStays(world, await notify(world, await issuer.sign(claims)))
  // Recognised by its jti only.
  await assertStays(world, await notify(world, await issuer.sign({ ...claims, sid: await sidOf(browser) })))
})

test('a logout token that arrives several times at once is accepted', async (t) => {
  const world = await start(t)
  const { issuer, browser, sid } = world
  const token = await issuer.sign(logoutClaims(issuer, { sid }))

  const answers = await Promise.all(Array.from({ length: 5 }, () => notify(world, token)))

  assert.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 1)
  assert.ok(answers.every(({ statusCode }) => statusCode === 200 || statusCode === 400))
  assert.equal(await isSignedIn(browser), false)
})

test('a logout token sent to one gateway takes effect at once on all that share its Redis, and is used up on all', async (t) => {
  const { url, close } = await redisUrl()
  t.after(close)
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const env = { REDIS_URL: url, SESSION_KEYS: newKey() }
  const one = await startInjectGateway(t, { issuer, env })
  const other = await startInjectGateway(t, { issuer, env })
  const browser = one.newBrowser()
  await browser.signIn()
  const cookie = browser.cookies.headerFor(one.publicUrl) ?? ''
  const statuses = async () => {
    const answers = [one, other].map(({ newBrowser }) =>
      newBrowser().call('/bff/user', { headers: { cookie } }),
    )
    return (await Promise.all(answers)).map(({ statusCode }) => statusCode)
  }
  assert.deepEqual(await statuses(), [200, 200])
  const token = await issuer.sign(logoutClaims(issuer, { sid: await sidOf(browser) }))

  assertDone(await notify(other, token))

  assert.deepEqual(await statuses(), [401, 401])
  for (const gateway of [one, other]) assertError(await notify(gateway, token), 400, 'BFF_LOGOUT_REJECTED')
})

const keyFaults: Record<string, (issuer: FaultyIssuer) => unknown> = {
  fail: (issuer) => issuer.rewrite('/jwks', (_answer, ctx) => Object.assign(ctx, { status: 500 })),
  'are no key set': (issuer) =>
    issuer.rewrite('/jwks', (_answer, ctx) => Object.assign(ctx, { body: { keys: 'none' } })),
  'are not JSON': (issuer) =>
    issuer.rewrite('/jwks', (_answer, ctx) => Object.assign(ctx, { body: '<p>hello' })),
  'redirect elsewhere': (issuer) =>
    issuer.rewrite('/jwks', (_answer, ctx) => ctx.redirect('http://evil.example/')),
}

for (const [what, fail] of Object.entries(keyFaults)) {
  test(`when the issuer's keys ${what} a logout token is answered 503, and accepted when it is sent again`, async (t) => {
    const world = await start(t)
    const { issuer, browser, sid } = world
    const token = await issuer.sign(logoutClaims(issuer, { sid }))
    const fresh = await startInjectGateway(t, { issuer })
    await fresh.newBrowser().beginLogin()
    t.mock.method(fresh.app.sessionStore, 'destroyBy', world.app.sessionStore.destroyBy)
    fail(issuer)

    const response = await notify(fresh, token)
    assertError(response, 503, 'BFF_ISSUER_UNAVAILABLE', { tokenManagementUsed: true })
    assert.match(String(response.headers['retry-after']), /^[1-9]\d*$/)
    assert.doesNotMatch(response.body, /localhost|evil/)
    assert.ok(await isSignedIn(browser))

    issuer.rewrite('/jwks')
    assertDone(await notify(fresh, token))
    assert.equal(await isSignedIn(browser), false)
  })
}

test('while the issuer has never been reached a logout token is answered 503', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const gateway = await startInjectGateway(t, { issuer, extras: { limits: { requestsPerMinute: 2 } } })
  await issuer.close()
  const token = await issuer.sign(logoutClaims(issuer, { sub: 'alice' }))
  // More often than tokens that are not valid may be sent.
  for (let times = 0; times < 4; times++) {
    assertError(await notify(gateway, token), 503, 'BFF_ISSUER_UNAVAILABLE', { tokenManagementUsed: true })
  }

  await issuer.reopen()

  assertDone(await notify(gateway, token))
})

for (const keys of [undefined, 'nonsense', 'ftp://localhost/jwks']) {
  test(`logout tokens can't be verified with issuer keys at ${keys}`, async (t) => {
    const issuer = await startFaultyIssuer()
    t.after(() => issuer.close())
    issuer.rewrite(metadataPath, (metadata) => Object.assign(metadata, { jwks_uri: keys }))
    const gateway = await startInjectGateway(t, { issuer })

    const response = await notify(gateway, await issuer.sign(logoutClaims(issuer, { sub: 'alice' })))

    assertError(response, 400, 'BFF_LOGOUT_REJECTED')
  })
}

test('a new key of the issuer is fetched', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const world = await start(t)
  const { issuer, browser, sid } = world
  issuer.rewrite('/jwks', (answer) => Object.assign(answer, { keys: [] }))
  const token = await issuer.sign(logoutClaims(issuer, { sid }))
  await assertStays(world, await notify(world, token))

  issuer.rewrite('/jwks')
  t.mock.timers.tick(31_000)

  assertDone(await notify(world, token))
  assert.equal(await isSignedIn(browser), false)
})

for (const method of ['markerTtlMs', 'destroyBy', 'addMarker'] as const) {
  test(`when the store fails (${method}) a logout token is answered 503, and accepted when it is sent again`, async (t) => {
    const world = await start(t)
    const { issuer, browser, sid, app } = world
    const token = await issuer.sign(logoutClaims(issuer, { sid }))
    const failing = t.mock.method(app.sessionStore, method, async () => {
      throw new StoreUnavailableError(new Error('connect ECONNREFUSED 10.0.0.7:6379'))
    })

    const response = await notify(world, token)
    assertError(response, 503, 'BFF_STORE_UNAVAILABLE')
    assert.match(String(response.headers['retry-after']), /^[1-9]\d*$/)
    assert.doesNotMatch(response.body, /10\.0\.0\.7/)

    failing.mock.restore()
    assertDone(await notify(world, token))
    assert.equal(await isSignedIn(browser), false)
    assertError(await notify(world, token), 400, 'BFF_LOGOUT_REJECTED')
  })
}

test('with a base path the endpoint of logout tokens is below it', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const { app } = await startInjectGateway(t, { issuer, env: { PUBLIC_URL: 'https://app.example.com/shop' } })
  const response = await app.inject({ method: 'POST', url: `/shop${path}` })
  assertError(response, 400, 'BFF_LOGOUT_REJECTED')
})
