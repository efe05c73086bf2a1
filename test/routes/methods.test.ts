import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertError } from '../support/assert-error.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const endpoints: [path: string, allowed: string][] = [
  ['/bff/login', 'GET'],
  ['/bff/callback', 'GET'],
  ['/bff/logout', 'GET'],
  ['/bff/silent-login', 'GET'],
  ['/bff/user', 'GET, HEAD'],
  ['/bff/session', 'GET, HEAD, POST'],
  ['/bff/backchannel-logout', 'POST'],
]

for (const PUBLIC_URL of ['http://localhost:3000', 'http://localhost:3000/shop']) {
  test(`an unsupported method is answered 405, and Allow names the supported ones: ${PUBLIC_URL}`, async (t) => {
    const { app, path } = await startInjectGateway(t, { env: { PUBLIC_URL } })
    for (const [url, allowed] of endpoints) {
      const answer = await app.inject({
        method: 'DELETE',
        url: `${path(url)}?x=1`,
        headers: { 'x-csrf': '1' },
      })
      assertError(answer, 405, 'BFF_METHOD_NOT_ALLOWED')
      const methods = String(answer.headers['allow']).split(', ').toSorted().join(', ')
      assert.equal(methods, allowed, url)
    }
    assertError(await app.inject({ method: 'DELETE', url: path('/bff/unknown') }), 404, 'BFF_NOT_FOUND')
  })
}

test('HEAD redeems no code, begins no login and ends no session', async (t) => {
  const { app, newBrowser } = await startInjectGateway(t)
  const browser = newBrowser()
  const callback = await browser.authorize(await browser.beginLogin())
  const cookie = browser.cookies.headerFor(new URL('http://localhost:3000/')) ?? ''
  for (const url of [callback, '/bff/login', '/bff/silent-login'])
    assert.equal((await app.inject({ method: 'HEAD', url, headers: { cookie } })).statusCode, 405, url)

  assert.equal((await browser.open(callback)).statusCode, 302)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})
