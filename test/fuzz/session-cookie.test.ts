import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { assertInjectRefused, inputs, mutationsOf, report } from './support.ts'

/** Characters that may be in a cookie's value, and some that may not. */
const cookieText = fc.string({
  unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
})
const piece = fc.constantFrom(
  'A',
  '%',
  '%3B',
  ';',
  ' ',
  '"',
  '=',
  '==',
  '+',
  '%00',
  '%zz',
  '\xe9',
  '__proto__',
)

test('only the issued cookie opens a session, and no other is answered with Set-Cookie', async (t) => {
  const { app, newBrowser, issuer } = await startInjectGateway(t, { env: { LOG_LEVEL: 'info' } })
  const foreign = await startInjectGateway(t, { issuer, env: { LOG_LEVEL: 'info' } })
  const browser = newBrowser()
  await browser.signIn()
  await browser.beginLogin()
  const abroad = foreign.newBrowser()
  await abroad.signIn()
  const real = browser.cookies.get('bff')?.value ?? ''
  const transaction = browser.cookies.all().find(({ name }) => name.startsWith('bff-tx-'))?.value ?? ''
  const elsewhere = abroad.cookies.get('bff')?.value ?? ''
  assert.ok(real && transaction && elsewhere)

  const value = fc.oneof(
    mutationsOf(real, fc.oneof(piece, fc.base64String({ maxLength: 8 }))),
    mutationsOf(transaction, piece),
    mutationsOf(elsewhere, piece),
    fc.tuple(fc.constantFrom(real, transaction, elsewhere), fc.constantFrom(real, elsewhere)).map(crossed),
    cookieText,
    fc.base64String({ maxLength: 300 }),
    fc.integer({ min: 4000, max: 100_000 }).map((length) => real.padEnd(length, 'A')),
    fc.constantFrom('', ';', '%3B', 'j:{}', '{}', 'null', transaction, elsewhere, `"${real}"`),
  )
  const name = fc.constantFrom(
    'bff',
    'bff',
    'bff',
    'BFF',
    ' bff',
    'bff-tx',
    'bff-tx-x',
    '__proto__',
    '$bff',
    '',
  )
  const header = fc
    .array(fc.tuple(name, value), { minLength: 1, maxLength: 4 })
    .map((pairs) => pairs.map(([key, text]) => `${key}=${text}`).join('; '))
  const path = fc.constantFrom('/bff/session', '/bff/user')
  let [tried, opened] = [0, 0]

  await fc.assert(
    fc.asyncProperty(header, path, async (cookie, url) => {
      tried++
      const headers = { cookie, 'x-csrf': '1', host: 'localhost:3000' }
      const response = await app.inject({ url, headers })
      assert.deepEqual(setCookies(response), [])
      const isSignedIn = response.body.includes('Alice')
      if (isSignedIn) assert.ok(holds(cookie, real))
      if (isSignedIn) opened++
      else if (url === '/bff/user') assert.equal(assertInjectRefused(response), 'BFF_SESSION_REQUIRED')
      else assert.deepEqual([response.statusCode, response.json().isAuthenticated], [200, false])
    }),
    inputs(2500),
  )
  // The unchanged cookie was among the inputs, so the property is meaningful.
  assert.ok(opened > 0)
  report(t, { cookies: tried, opened })
})

/** The sealed content of one cookie with the nonce of the other. */
function crossed([first, second]: [string, string]): string {
  return `${first.split('%3B')[0]}%3B${second.split('%3B')[1]}`
}

/** Whether one of the header's cookies decodes to the same bytes: Base64 has several spellings. */
function holds(cookie: string, real: string): boolean {
  return cookie.split(';').some((pair) => bytes(pair.slice(pair.indexOf('=') + 1)) === bytes(real))
}

function bytes(value: string): string {
  const text = value
    .trim()
    .replaceAll('"', '')
    .replaceAll(/%[\da-f]{2}/gi, decodeByte)
  const parts = text.split(';')
  return parts.map((part) => Buffer.from(part, 'base64').toString('hex')).join(';')
}

function decodeByte(triplet: string): string {
  return String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
}
