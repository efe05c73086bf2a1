import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims, logoutEvent } from '../support/logout-token.ts'
import { assertInjectRefused, inputs, mutationsOf, report } from './support.ts'

type Json = fc.JsonValue | undefined
type Claims = Record<string, unknown>

const json: fc.Arbitrary<Json> = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(undefined, '', ' ', [], {}, null, true, 0, -1, 1e300, [''], '__proto__'),
)
const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: Json) => typeof value === 'string' && value !== ''
const name = (text: Json) => json.filter((value) => value !== text && !isText(value) && value !== undefined)

/** Claims each of which makes a validly signed logout token invalid. */
const badClaims: fc.Arbitrary<Claims> = fc.oneof(
  json.map((iss) => ({ iss })),
  json.map((aud) => ({ aud })),
  json.map((events) => ({ events })),
  json.filter((event) => !isObject(event)).map((event) => ({ events: { [logoutEvent]: event } })),
  json.filter((jti) => !isText(jti)).map((jti) => ({ jti })),
  json.filter((nonce) => nonce !== undefined).map((nonce) => ({ nonce })),
  // Without one, a new token is valid.
  json
    .filter((exp) => exp !== undefined)
    .map((exp) => ({ exp: typeof exp === 'number' ? Math.min(exp, 1e9) : exp })),
  json.map((iat) => ({ iat })),
  name('sid').map((sid) => ({ sid })),
  name('sub').map((sub) => ({ sub })),
  fc.constant({ sid: undefined, sub: undefined }),
)

/** Faults of the protected header, with a new signature over it. */
const badHeader: fc.Arbitrary<Claims> = fc.oneof(
  fc
    .string()
    .filter((typ) => !/^(application\/)?(logout\+jwt|jwt)$/i.test(typ))
    .map((typ) => ({ typ })),
  fc.string().map((kid) => ({ kid: `${kid}!` })),
)

const character = fc.constantFrom(...'AZaz09-_.=+/ \n%\0\u00e9')

/** Faults of the form around the token. */
const form = fc.constantFrom<(token: string) => string>(
  (token) => `logout_token=${token}&logout_token=${token}`,
  (token) => `logout_token=${token}&logout_token=`,
  (token) => `logout-token=${token}`,
  (token) => `logout_token[]=${token}`,
  (token) => `{"logout_token":"${token}"}`,
  (token) => `LOGOUT_TOKEN=${token}`,
  (token) => token,
  () => '',
)

test('a logout token that differs from what the issuer signed ends no session', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { app, newBrowser } = await startInjectGateway(t, { issuer, env: { LOG_LEVEL: 'error' } })
  const browser = newBrowser()
  await browser.signIn()
  const { sid } = (await browser.call('/bff/session')).json()
  const good = logoutClaims(issuer, { sub: 'alice', sid })
  const token = await issuer.sign(good, { typ: 'logout+jwt' })
  const notify = (payload: string, type = 'application/x-www-form-urlencoded') =>
    app.inject({ method: 'POST', url: '/bff/backchannel-logout', payload, headers: { 'content-type': type } })
  const encoded = (text: string) => `logout_token=${encodeURIComponent(text)}`

  const attempt = fc.oneof(
    mutationsOf(token, character)
      .filter((text) => !isSame(text, token))
      .map((text) => async () => encoded(text)),
    fc.tuple(fc.nat(2), fc.oneof(fc.string(), fc.base64String(), fc.json())).map(
      ([i, segment]) =>
        async () =>
          encoded(withSegment(token, i, segment)),
    ),
    badClaims.map((claims) => async () => encoded(await issuer.sign({ ...good, ...claims }))),
    badHeader.map((header) => async () => encoded(await issuer.sign(good, header as never))),
    fc
      .constantFrom('none', 'HS256', 'ES512', 'RS256', '')
      .map(
        (alg) => async () =>
          encoded(withSegment(token, 0, base64url({ alg, kid: 'another key of the issuer' }))),
      ),
    form.map((write) => async () => write(token)),
    fc.string({ unit: 'binary' }).map((text) => async () => text.toWellFormed()),
  )
  const type = fc.constantFrom(
    ...['application/x-www-form-urlencoded', 'application/x-www-form-urlencoded; charset=utf-8'],
  )

  let notices = 0

  await fc.assert(
    fc.asyncProperty(attempt, type, async (write, contentType) => {
      notices++
      assert.equal(assertInjectRefused(await notify(await write(), contentType)), 'BFF_LOGOUT_REJECTED')
    }),
    inputs(1500),
  )
  await fc.assert(
    fc.asyncProperty(fc.string(), async (contentType) => {
      notices++
      const response = await notify(encoded(token), `${contentType.replaceAll(/[^\x20-\x7e]/g, '')}!`)
      assertInjectRefused(response)
    }),
    inputs(200),
  )

  report(t, { notices })
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  // The unchanged token is still valid.
  assert.equal((await notify(encoded(token))).statusCode, 200)
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
})

function withSegment(token: string, index: number, segment: string): string {
  return token
    .split('.')
    .map((before, i) => (i === index ? segment : before))
    .join('.')
}

/** Same signed text and signature: the last character of Base64 has unused bits. */
function isSame(one: string, other: string): boolean {
  const parts = (token: string) => {
    const [header, payload, signature = '', ...more] = token.split('.')
    return JSON.stringify([header, payload, Buffer.from(signature, 'base64url').toString('hex'), ...more])
  }
  return parts(one) === parts(other)
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
