import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { SignJWT } from 'jose'
import { fingerprint } from '../../demo/issuer/events.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { startTimeApi } from '../../demo/time-api.ts'
import { audience, startRelyingParty } from './relying-party.ts'

async function start(t: TestContext, options: { accessTokenLifetime?: number } = {}) {
  const relyingParty = await startRelyingParty(t, { apiAudience: audience, ...options })
  const api = await startTimeApi({ issuer: relyingParty.issuer.issuer, audience })
  t.after(() => api.close())
  const get = (path: string, accessToken?: string) =>
    fetch(
      `${api.url}${path}`,
      accessToken === undefined ? {} : { headers: { authorization: `Bearer ${accessToken}` } },
    )
  return { ...relyingParty, api, get }
}

test('answers the time to a valid token', async (t) => {
  const { signIn, get, api } = await start(t)
  const { access_token: accessToken } = await signIn('alice')

  const response = await get('/gettime', accessToken)

  assert.equal(response.status, 200)
  const text = await response.text()
  const { time, user, tokenExpiresAt } = JSON.parse(text) as Record<string, string>
  assert.equal(user, 'alice')
  assert.ok(Date.parse(tokenExpiresAt ?? '') > Date.parse(time ?? ''))
  assert.ok(!text.includes(accessToken))
  assert.equal(api.requests[0]?.accessTokenHash, fingerprint(accessToken))
  assert.equal(api.requests[0]?.headers.authorization, undefined)
})

test('without a token the challenge names no error', async (t) => {
  const { get } = await start(t)

  const response = await get('/gettime')

  assert.equal(response.status, 401)
  assert.equal(response.headers.get('www-authenticate'), 'Bearer realm="time-api"')
})

test('refuses garbage, ID tokens and tokens of other issuers', async (t) => {
  const { get, signIn, issuer } = await start(t)
  const { id_token: idToken = '' } = await signIn('alice')
  const forged = await new SignJWT({ sub: 'alice' })
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
    .setIssuer(issuer.issuer)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('1m')
    .sign(new TextEncoder().encode('0123456789abcdef0123456789abcdef'))

  for (const token of ['garbage', 'a.b.c', idToken, forged]) {
    const response = await get('/gettime', token)
    assert.equal(response.status, 401)
    assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer error="invalid_token"/)
  }
})

test('refuses a token for another API', async (t) => {
  const { signIn, issuer } = await start(t)
  const other = await startTimeApi({ issuer: issuer.issuer, audience: 'urn:test:other-api' })
  t.after(() => other.close())
  const { access_token: accessToken } = await signIn('alice')

  const response = await fetch(`${other.url}/gettime`, {
    headers: { authorization: `Bearer ${accessToken}` },
  })

  assert.equal(response.status, 401)
})

test('refuses a token that has expired, to the second', async (t) => {
  const { signIn, get } = await start(t)
  const { access_token: accessToken } = await signIn('alice')
  assert.equal((await get('/gettime', accessToken)).status, 200)

  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 30_000 })
  const response = await get('/gettime', accessToken)

  assert.equal(response.status, 401)
  assert.match(response.headers.get('www-authenticate') ?? '', /expired/)
})

test('an issuer that is down is not reported as a token error', async (t) => {
  const issuer = await startIssuer({ apiAudience: audience })
  const api = await startTimeApi({ issuer: issuer.issuer, audience })
  t.after(() => api.close())
  await issuer.close()

  const response = await fetch(`${api.url}/gettime`, { headers: { authorization: 'Bearer a.b.c' } })

  assert.equal(response.status, 503)
})

test('other paths are 404, and 401 without a token', async (t) => {
  const { signIn, get } = await start(t)
  const { access_token: accessToken } = await signIn('alice')

  assert.equal((await get('/else', accessToken)).status, 404)
  assert.equal((await get('/else')).status, 401)
})
