import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { LightMyRequestResponse } from 'fastify'
import type { AppExtras } from '../../app.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { assertError } from '../support/assert-error.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { type InjectBrowser, setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const inFrame = { 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'iframe' }

async function start(t: TestContext, extras: AppExtras = {}) {
  const gateway = await startInjectGateway(t, { extras })
  const browser = gateway.newBrowser()
  await browser.signIn()
  const sid = await sidOf(browser)
  const iss = gateway.issuer.issuer
  const notice = (query: [name: string, value: string][]) =>
    `/bff/frontchannel-logout?${new URLSearchParams(query)}`
  return {
    ...gateway,
    browser,
    sid,
    iss,
    notice,
    good: notice([
      ['iss', iss],
      ['sid', sid],
    ]),
  }
}

async function sidOf(browser: InjectBrowser): Promise<string> {
  return (await browser.call('/bff/session')).json().sid
}

async function isSignedIn(browser: InjectBrowser): Promise<boolean> {
  return (await browser.call('/bff/user')).statusCode === 200
}

/** A page that only the issuer may frame. */
function assertDone(response: LightMyRequestResponse, issuer: string): void {
  assert.equal(response.statusCode, 200, response.body)
  assert.equal(response.headers['content-type'], 'text/html; charset=utf-8')
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['content-security-policy'], `default-src 'none';frame-ancestors ${issuer}`)
  assert.equal(response.headers['x-frame-options'], undefined)
}

test('a frame of the issuer, which gets no Strict cookie, ends the session by its sid', async (t) => {
  const { browser, newBrowser, good, iss, log } = await start(t)
  const others = [newBrowser(), newBrowser()]
  await others[0]?.signIn('alice')
  await others[1]?.signIn('bob')

  const response = await newBrowser().open(good, inFrame)

  assertDone(response, iss)
  assert.deepEqual(setCookies(response), [])
  assert.deepEqual(await Promise.all([browser, ...others].map(isSignedIn)), [false, true, true])
  assert.match(log(), /"event":"session\.ended","reason":"frontchannel_logout","sessionHash":"/)
})

test('if the cookie is sent it is cleared, and the refresh token revoked', async (t) => {
  const { browser, good, iss, issuer } = await start(t)

  const response = await browser.open(good, inFrame)

  assertDone(response, iss)
  assert.match(setCookies(response).join(), /^bff=; Max-Age=0; Path=\/; [^,]*, [^,]*$/)
  assert.deepEqual(browser.cookies.all(), [])
  const [grant] = issuer.events.grants('authorization_code')
  const [revocation, ...more] = issuer.events.revocations()
  assert.deepEqual(more, [])
  assert.equal(revocation?.outcome, 'success')
  assert.equal(revocation?.tokenHash, grant?.issuedRefreshTokenHash)
})

test('without iss the sid is enough', async (t) => {
  const { browser, newBrowser, notice, sid, iss } = await start(t)
  assertDone(await newBrowser().open(notice([['sid', sid]]), inFrame), iss)
  assert.equal(await isSignedIn(browser), false)
})

test('iss must match if it is sent, sid must be known, and each must be given once', async (t) => {
  const { app, browser, newBrowser, sid, iss, notice } = await start(t)
  const other = newBrowser()
  await other.signIn('bob')
  const queries: [string, string][][] = [
    [],
    [['iss', iss]],
    [
      ['iss', ''],
      ['sid', sid],
    ],
    [
      ['iss', iss],
      ['sid', ''],
    ],
    [
      ['iss', iss],
      ['sid', `${sid}x`],
    ],
    [
      ['iss', iss],
      ['sid', sid.slice(1)],
    ],
    [
      ['iss', iss],
      ['sid', 'alice'],
    ],
    [
      ['iss', `${iss}/`],
      ['sid', sid],
    ],
    [
      ['iss', iss.toUpperCase()],
      ['sid', sid],
    ],
    [
      ['iss', 'https://evil.example'],
      ['sid', sid],
    ],
    [
      ['iss', iss],
      ['sid', sid],
      ['sid', sid],
    ],
    [
      ['iss', iss],
      ['iss', iss],
      ['sid', sid],
    ],
    [
      ['iss', iss],
      ['sid[]', sid],
    ],
    [
      ['issuer', iss],
      ['sub', 'alice'],
    ],
  ]
  for (const query of queries) {
    for (const response of [await browser.open(notice(query), inFrame), await app.inject(notice(query))]) {
      assertError(response, 400, 'BFF_LOGOUT_REJECTED')
      assert.deepEqual(setCookies(response), [])
      assert.ok(!response.body.includes(sid) && !response.body.includes('localhost'), response.body)
    }
  }
  assert.ok(await isSignedIn(browser))
  assert.ok(await isSignedIn(other))
})

test('the sid of one user ends no session of another', async (t) => {
  const { browser, newBrowser, iss, notice } = await start(t)
  const other = newBrowser()
  await other.signIn('bob')

  // Bob's logout URL in a frame that Alice's browser opens.
  const response = await browser.open(
    notice([
      ['iss', iss],
      ['sid', await sidOf(other)],
    ]),
    inFrame,
  )

  assertDone(response, iss)
  assert.deepEqual(setCookies(response), [])
  assert.ok(await isSignedIn(browser))
})

test('a session that ended in the last ten minutes is answered 200, one that ended before is unknown', async (t) => {
  for (const end of ['notice', 'logout'] as const) {
    const clock = createFakeClock(Date.now())
    const { browser, newBrowser, good, iss } = await start(t, { clock })
    if (end === 'notice') await newBrowser().open(good, inFrame)
    // The issuer's page, to which this redirects, then opens the frame.
    else await browser.open('/bff/logout')

    for (const ms of [0, 10 * 60_000 - 1]) {
      await clock.advance(ms)
      assertDone(await newBrowser().open(good, inFrame), iss)
    }
    await clock.advance(1)
    assertError(await newBrowser().open(good, inFrame), 400, 'BFF_LOGOUT_REJECTED')
  }
})

test('front-channel logout accepts GET only', async (t) => {
  const { app, browser, good } = await start(t)
  for (const method of ['POST', 'PUT', 'DELETE'] as const)
    assertError(await app.inject({ method, url: good }), 405, 'BFF_METHOD_NOT_ALLOWED')
  assert.ok(await isSignedIn(browser))
})

for (const method of ['read', 'destroy', 'destroyBy'] as const) {
  test(`while the store is down (${method}) no cookie is set or cleared, and the frame gets 503`, async (t) => {
    const { app, browser, good } = await start(t)
    const failing = t.mock.method(app.sessionStore, method, async () => {
      throw new StoreUnavailableError(new Error('connect ECONNREFUSED 10.0.0.7:6379'))
    })

    const response = await browser.open(good, inFrame)

    assertError(response, 503, 'BFF_STORE_UNAVAILABLE')
    assert.deepEqual(setCookies(response), [])
    failing.mock.restore()
    await browser.open(good, inFrame)
    assert.equal(await isSignedIn(browser), false)
  })
}

test('while the issuer has never been reached no session ends', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  await issuer.close()
  const { newBrowser } = await startInjectGateway(t, { issuer })
  const query = new URLSearchParams({ iss: issuer.issuer, sid: 'x' })

  const response = await newBrowser().open(`/bff/frontchannel-logout?${query}`, inFrame)

  assertError(response, 503, 'BFF_ISSUER_UNAVAILABLE', { tokenManagementUsed: true })
})
