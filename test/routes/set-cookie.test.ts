import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { LightMyRequestResponse } from 'fastify'
import { createFakeClock } from '../support/fake-clock.ts'
import { locationOf, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const inFrame = { 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'iframe' }
const fromElsewhere = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }

/** The Set-Cookie headers of a gateway on https during everything that sets cookies, per answer. */
async function answersWithCookies(t: TestContext, more: Record<string, string> = {}): Promise<string[][]> {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-set-cookie-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'index.html'), '<title>The app</title>')
  const clock = createFakeClock(Date.now())
  const env = { PUBLIC_URL: 'https://app.example.com', STATIC_DIR: folder, REQUIRE_LOGIN: 'true', ...more }
  const { app, newBrowser } = await startInjectGateway(t, { env, extras: { clock } })
  const answers: LightMyRequestResponse[] = []
  const inject = app.inject.bind(app)
  t.mock.method(app, 'inject', async (options: object) => {
    const answer = await inject(options)
    answers.push(answer)
    return answer
  })
  const browser = newBrowser()

  await browser.open('/', fromElsewhere)
  for (let i = 0; i < 6; i++) await browser.beginLogin()
  await browser.signIn()
  assert.equal((await browser.open('/')).statusCode, 200)
  const silent = await browser.open('/bff/silent-login', inFrame)
  const state = new URL(locationOf(silent)).searchParams.get('state')
  await browser.open(`/bff/callback?state=${state}&error=access_denied`, inFrame)
  await browser.open('/bff/logout')
  await browser.signIn()
  await clock.advance(8 * 3_600_000)
  assert.equal((await browser.call('/bff/user')).statusCode, 401)

  return answers.map(setCookies).filter(({ length }) => length > 0)
}

/** Ensures that each kind of cookie was set and cleared, so that the checks below cover all. */
const kinds = {
  session: /^__Host-bff=/,
  login: /^__Host-bff-tx-[\w-]{16}=/,
  rounds: /^__Host-bff-rounds=/,
}

const token = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/
const cookieOctets = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/
const httpDate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/

test('cookies are set by the grammar for servers, without repeated attributes or names', async (t) => {
  const answers = await answersWithCookies(t)
  for (const kind of Object.values(kinds)) {
    const ofKind = answers.flat().filter((cookie) => kind.test(cookie))
    assert.ok(ofKind.some(isClearing) && !ofKind.every(isClearing), `${kind}`)
  }
  assert.ok(answers.some(({ length }) => length > 2))

  for (const cookies of answers) {
    const names = cookies.map((cookie) => cookie.split('=', 1)[0] ?? '')
    assert.equal(new Set(names).size, names.length, cookies.join('\n'))
    for (const cookie of cookies) assertGrammar(cookie)
  }
})

test('on https every cookie is Secure, HttpOnly and __Host-, for all paths of this host only', async (t) => {
  for (const [env, prefix] of [
    [{}, '__Host-bff'],
    // Browsers that know this prefix enforce HttpOnly too.
    [{ COOKIE_NAME: '__Host-Http-bff' }, '__Host-Http-bff'],
  ] as const) {
    const cookies = (await answersWithCookies(t, env)).flat()
    assert.ok(cookies.length > 0)
    for (const cookie of cookies) {
      assert.ok(cookie.startsWith(prefix), cookie)
      for (const attribute of ['Path=/', 'Secure', 'HttpOnly'])
        assert.ok(attributesOf(cookie).includes(attribute), cookie)
      assert.doesNotMatch(cookie, /; domain/i)
    }
  }
})

test('the session cookie is Strict; cookies needed on the return from the issuer are Lax and last for minutes', async (t) => {
  const set = (await answersWithCookies(t)).flat().filter((cookie) => !isClearing(cookie))
  const seen = (kind: RegExp) =>
    new Set(
      set
        .filter((cookie) => kind.test(cookie))
        .map((cookie) => cookie.match(/Max-Age=\d+|SameSite=\w+/g)?.join(' ')),
    )
  assert.deepEqual([...seen(kinds.session)], ['Max-Age=604800 SameSite=Strict'])
  assert.deepEqual([...seen(kinds.login)], ['Max-Age=600 SameSite=Lax', 'Max-Age=600 SameSite=None'])
  assert.deepEqual([...seen(kinds.rounds)], ['Max-Age=60 SameSite=Lax'])
})

/** @see https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis-22#section-4.1.1 */
function assertGrammar(cookie: string): void {
  const [pair = '', ...attributes] = cookie.split('; ')
  const equals = pair.indexOf('=')
  assert.match(pair.slice(0, equals), token)
  assert.match(pair.slice(equals + 1), cookieOctets)
  assert.ok(pair.length <= 4096)
  const names = attributes.map((attribute) => attribute.split('=', 1)[0]?.toLowerCase())
  assert.equal(new Set(names).size, names.length, cookie)
  for (const attribute of attributes) {
    const [name = '', value] = attribute.split('=')
    if (name === 'Expires') assert.match(value ?? '', httpDate)
    else assert.match(attribute, /^(Max-Age=\d+|Path=\/|Secure|HttpOnly|SameSite=(Strict|Lax|None))$/)
  }
}

function attributesOf(cookie: string): string[] {
  return cookie.split('; ').slice(1)
}

function isClearing(cookie: string): boolean {
  return cookie.includes('; Max-Age=0;')
}
