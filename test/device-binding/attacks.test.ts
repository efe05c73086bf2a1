import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { after, before, type TestContext, test } from 'node:test'
import { SignJWT } from 'jose'
import { startIssuer } from '../../demo/issuer.ts'
import { assertError } from '../support/assert-error.ts'
import {
  askToRefresh,
  createDevice,
  offeredChallenge,
  post,
  refresh,
  refreshChallenge,
  refreshPath,
  register,
  registerPath,
  sendProof,
  signInBound,
} from '../support/device.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { setCookies } from '../support/inject-browser.ts'
import { newKey } from '../support/inject-gateway.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import {
  cookiesOf,
  proofCookie,
  publicUrl,
  sendFromElsewhere,
  sessionCookie,
  startBoundGateway,
} from './support.ts'

let redis: RedisServer
before(async () => {
  redis = await startRedis()
})
after(() => redis.close())

const notBound = { loginUrl: '/bff/login' }
const minuteMs = 60_000

test('cookies copied to another machine die with the proof, after ten minutes at the most', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const browser = gateway.newBrowser()
  await signInBound(browser, await createDevice())
  const copied = cookiesOf(browser)
  assert.equal((await sendFromElsewhere(gateway, copied)).statusCode, 200)

  await clock.advance(10 * minuteMs + 5000)
  for (const url of ['/bff/session', '/bff/user', '/bff/events', '/bff/diagnostics'])
    assertError(await sendFromElsewhere(gateway, copied, url), 401, 'BFF_SESSION_NOT_BOUND', notBound)
})

test('cookies copied to another machine can not be refreshed, not even at once', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const id = await signInBound(browser, await createDevice())
  const thief = gateway.newBrowser()
  thief.cookies.store(
    new URL(publicUrl),
    Object.entries(cookiesOf(browser)).map(([name, value]) => `${name}=${value}; Path=/; Secure`),
  )

  assertError(await refresh(thief, await createDevice(), id), 403, 'BFF_DEVICE_PROOF_REQUIRED')
  assertError(await refresh(thief, await createDevice('RS256'), id), 403, 'BFF_DEVICE_PROOF_REQUIRED')
})

test('without the proof cookie a bound session gets 401 on every endpoint and upstream, and stays', async (t) => {
  const env = { API_URL: 'http://127.0.0.1:9' }
  const gateway = await startBoundGateway(t, { env })
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const withoutProof = cookiesOf(browser, [sessionCookie])

  for (const url of ['/bff/session', '/bff/user', '/bff/events', '/api/orders', '/api/orders']) {
    const answer = await sendFromElsewhere(gateway, withoutProof, url)
    assertError(answer, 401, 'BFF_SESSION_NOT_BOUND', notBound)
    assert.deepEqual(setCookies(answer), [], url)
  }
  assert.match(gateway.log(), /"event":"session\.not_bound","reason":"no_proof"/)
  assert.equal((await refresh(browser, device, id)).statusCode, 200)
  assert.equal((await browser.call('/bff/session')).json().bound, true)
})

test('a proof of another session, or one that was changed, is none', async (t) => {
  const gateway = await startBoundGateway(t)
  const [alice, mallory] = [gateway.newBrowser(), gateway.newBrowser()]
  await signInBound(alice, await createDevice())
  await signInBound(mallory, await createDevice())
  const session = cookiesOf(alice, [sessionCookie])
  const own = cookiesOf(alice)[proofCookie] ?? ''
  const changed = own.slice(0, -2) + (own.endsWith('AA') ? 'BB' : 'AA')
  const foreign = { ...session, [proofCookie]: cookiesOf(mallory)[proofCookie] ?? '' }

  for (const cookies of [
    foreign,
    { ...session, [proofCookie]: changed },
    { ...session, [proofCookie]: session[sessionCookie] ?? '' },
    { ...session, [proofCookie]: 'x'.repeat(5000) },
    { ...session, [proofCookie]: '' },
  ])
    assertError(await sendFromElsewhere(gateway, cookies), 401, 'BFF_SESSION_NOT_BOUND', notBound)
  // A browser with such a cookie gets a new one only if it has none.
  assert.match(setCookies(await sendFromElsewhere(gateway, foreign)).join(), /__Host-bff-bound=; Max-Age=0/)
})

test('a signed challenge works once, over all instances', async (t) => {
  const [one, other] = await startTwo(t)
  const browser = one.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const jwt = await device.proof(refreshChallenge(await askToRefresh(browser, id)))
  const headers = { 'sec-secure-session-id': `"${id}"`, 'secure-session-response': jwt }
  const send = () => sendFromElsewhere(other, cookiesOf(browser), refreshPath, { method: 'POST', headers })

  assert.equal((await send()).statusCode, 200, 'Any instance can check what another has asked for')
  for (const replayed of [await send(), await sendProof(browser, id, jwt)]) {
    assertError(replayed, 403, 'BFF_DEVICE_PROOF_REQUIRED')
    assert.deepEqual(setCookies(replayed), [])
  }
})

test('a registration works once, over all instances, and not over an existing binding', async (t) => {
  const [one, other] = await startTwo(t)
  const browser = one.newBrowser()
  const login = await browser.signIn()
  const [owner, thief] = [await createDevice(), await createDevice()]
  const challenge = offeredChallenge(login) ?? ''
  const send = async (gateway: typeof one, jwt: string) =>
    sendFromElsewhere(gateway, cookiesOf(browser, [sessionCookie]), registerPath, {
      method: 'POST',
      headers: { 'secure-session-response': jwt },
    })

  const own = await owner.registration(challenge)
  const both = await Promise.all([send(one, own), send(other, await thief.registration(challenge))])
  assert.deepEqual(both.map(({ statusCode }) => statusCode).toSorted(), [200, 400])
  assertError(await send(other, own), 400, 'BFF_BINDING_REJECTED')
  assertError(await send(one, await thief.registration(challenge)), 400, 'BFF_BINDING_REJECTED')
})

test('a challenge of another session or step, or a made-up one, is refused', async (t) => {
  const gateway = await startBoundGateway(t)
  const [alice, mallory] = [gateway.newBrowser(), gateway.newBrowser()]
  const device = await createDevice()
  const id = await signInBound(alice, device)
  const malloryLogin = await mallory.signIn()
  const malloryOffer = offeredChallenge(malloryLogin) ?? ''
  const malloryId = (await register(mallory, await createDevice(), malloryLogin)).json().session_identifier
  const foreign = refreshChallenge(await askToRefresh(mallory, malloryId))

  for (const challenge of [foreign, malloryOffer, 'made up', ''])
    assertError(await sendProof(alice, id, await device.proof(challenge)), 403, 'BFF_DEVICE_PROOF_REQUIRED')

  const unbound = gateway.newBrowser()
  await unbound.signIn()
  const refreshStep = refreshChallenge(await askToRefresh(alice, id))
  for (const challenge of [malloryOffer, refreshStep, 'made up', '']) {
    const jwt = await device.registration(challenge)
    const answer = await post(unbound, registerPath, { 'secure-session-response': jwt })
    assertError(answer, 400, 'BFF_BINDING_REJECTED')
  }
})

test('only ES256 and RS256 keys of the right kind and size register, and no private ones', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const challenge = offeredChallenge(await browser.signIn()) ?? ''
  const device = await createDevice()
  const { kty, crv, x, y } = device.jwk as Record<string, string>
  const withKey = (jwk: object | undefined) => device.registration(challenge, { jwk: jwk as never })
  const of = async (alg: string) => (await createDevice(alg)).registration(challenge)
  const valid = await device.registration(challenge)

  const refused = {
    'alg none': `${encoded({ alg: 'none', typ: 'dbsc+jwt', jwk: device.jwk })}.${encoded({ jti: challenge })}.`,
    HS256: await new SignJWT({ jti: challenge })
      .setProtectedHeader({ alg: 'HS256', typ: 'dbsc+jwt', jwk: device.jwk })
      .sign(Buffer.alloc(32)),
    ES384: await of('ES384'),
    PS256: await of('PS256'),
    'a key of another algorithm': await withKey((await createDevice('RS256')).jwk),
    'the key of another device': await withKey((await createDevice()).jwk),
    'a point that is not on the curve': await withKey({ kty, crv, x, y: x }),
    'another curve': await withKey({ kty, crv: 'P-384', x, y }),
    'a private key': await withKey({ kty, crv, x, y, d: x }),
    'a symmetric key': await withKey({ kty: 'oct', k: x }),
    'no key': await withKey(undefined),
    'another type': await device.registration(challenge, { typ: 'JWT' }),
    'RSA of 1024 bits': rsaSigned(challenge, { modulusLength: 1024 }),
    'an unusual exponent': rsaSigned(challenge, { modulusLength: 2048, publicExponent: 3 }),
    'no signature': valid.replace(/[^.]+$/, ''),
    'another signature': valid.replace(/[^.]+$/, Buffer.alloc(64, 1).toString('base64url')),
    'no JWT': 'x'.repeat(100),
    'two values': `${valid}, ${valid}`,
    nothing: '',
  }
  for (const [what, jwt] of Object.entries(refused)) {
    const answer = await post(browser, registerPath, { 'secure-session-response': jwt })
    assert.equal(answer.statusCode, 400, what)
    assertError(answer, 400, 'BFF_BINDING_REJECTED')
  }
  assert.equal((await post(browser, registerPath, { 'secure-session-response': valid })).statusCode, 200)
})

test('a proof with alg none or HS256, or of another type, refreshes nothing', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const challenge = refreshChallenge(await askToRefresh(browser, id))
  const { x } = device.jwk as { x: string }
  const sign = (alg: string) =>
    new SignJWT({ jti: challenge })
      .setProtectedHeader({ alg, typ: 'dbsc+jwt', jwk: device.jwk })
      .sign(Buffer.from(x, 'base64url'))
  const none = (await sign('HS256')).replace(/^[^.]+/, Buffer.from('{"alg":"none"}').toString('base64url'))

  for (const jwt of [await sign('HS256'), none, none.replace(/[^.]+$/, ''), 'x', ''])
    assertError(await sendProof(browser, id, jwt), 403, 'BFF_DEVICE_PROOF_REQUIRED')
  // A key in its header does not count.
  const thief = await createDevice()
  assertError(
    await sendProof(browser, id, await thief.registration(challenge)),
    403,
    'BFF_DEVICE_PROOF_REQUIRED',
  )
  assert.equal((await sendProof(browser, id, await device.proof(challenge))).statusCode, 200)
})

test('a page of another site triggers no registration and no refresh', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const login = await browser.signIn()
  const device = await createDevice()
  const jwt = await device.registration(offeredChallenge(login) ?? '')
  const response = { 'secure-session-response': jwt }

  for (const foreign of [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: 'https://evil.example.com' },
    { origin: 'null' },
  ])
    for (const path of [registerPath, refreshPath])
      assertError(await post(browser, path, { ...foreign, ...response }), 403, 'BFF_CSRF_REJECTED')
  assert.equal((await browser.call('/bff/session')).json().bound, false)

  // An attacker's own session can't be put on the device of another user's browser that has a session.
  const mallory = gateway.newBrowser()
  const challenge = offeredChallenge(await mallory.signIn()) ?? ''
  const ofMallory = { 'secure-session-response': await device.registration(challenge) }
  assertError(await post(browser, registerPath, ofMallory), 400, 'BFF_BINDING_REJECTED')
})

test('where sessions must be bound, one whose registration was stripped is refused after a minute', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { env: { SESSION_BINDING: 'required' }, extras: { clock } })
  const [victim, bound] = [gateway.newBrowser(), gateway.newBrowser()]
  const challenge = offeredChallenge(await victim.signIn()) ?? ''
  await signInBound(bound, await createDevice())
  assert.equal((await victim.call('/bff/session')).statusCode, 200)

  await clock.advance(minuteMs)
  for (const url of ['/bff/session', '/bff/user'])
    assertError(await victim.call(url), 401, 'BFF_SESSION_NOT_BOUND', notBound)
  assert.match(gateway.log(), /"event":"session\.not_bound","reason":"unbound"/)
  assert.equal((await bound.call('/bff/session')).statusCode, 200)
  // Nor can a thief bind it now.
  const jwt = await (await createDevice()).registration(challenge)
  assertError(
    await post(victim, registerPath, { 'secure-session-response': jwt }),
    400,
    'BFF_BINDING_REJECTED',
  )
})

test('a clock that is set back makes no proof, challenge or unbound session live longer', async (t) => {
  const clock = createFakeClock(Date.now())
  let setBackMs = 0
  const jumping = { ...clock, now: () => clock.now() - setBackMs }
  const gateway = await startBoundGateway(t, {
    env: { SESSION_BINDING: 'required' },
    extras: { clock: jumping },
  })
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const proof = await device.proof(refreshChallenge(await askToRefresh(browser, id)))
  const unbound = gateway.newBrowser()
  await unbound.signIn()

  setBackMs = 60 * minuteMs
  assertError(await browser.call('/bff/session'), 401, 'BFF_SESSION_NOT_BOUND', notBound)
  assertError(await unbound.call('/bff/session'), 401, 'BFF_SESSION_NOT_BOUND', notBound)
  assertError(await sendProof(browser, id, proof), 403, 'BFF_DEVICE_PROOF_REQUIRED')
  // Its own device gets a new one at once.
  assert.equal((await refresh(browser, device, id)).statusCode, 200)
  assert.equal((await browser.call('/bff/session')).statusCode, 200)
})

test('a clock that jumps ahead costs a refresh, and no session', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)

  await clock.advance(60 * minuteMs)
  const refused = await browser.call('/bff/session')
  assertError(refused, 401, 'BFF_SESSION_NOT_BOUND', notBound)
  // The browser's own clock says that the proof is still good.
  assert.match(setCookies(refused).join(), /__Host-bff-bound=; Max-Age=0/)
  assert.equal((await refresh(browser, device, id)).statusCode, 200)
  assert.equal((await browser.call('/bff/session')).json().isAuthenticated, true)
})

/** Two instances with the same Redis and keys, behind one address. */
async function startTwo(t: TestContext) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const env = { REDIS_URL: redis.url, SESSION_KEYS: newKey() }
  const start = () => startBoundGateway(t, { issuer, env })
  return [await start(), await start()] as const
}

/** jose makes no such keys. */
function rsaSigned(challenge: string, options: { modulusLength: number; publicExponent?: number }): string {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', options)
  const jwk = publicKey.export({ format: 'jwk' })
  const text = `${encoded({ alg: 'RS256', typ: 'dbsc+jwt', jwk })}.${encoded({ jti: challenge })}`
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
