import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { StoreUnavailableError } from '../../plugins/session-store/store.ts'
import { assertError } from '../support/assert-error.ts'
import {
  askToRefresh,
  createDevice,
  refresh,
  refreshChallenge,
  register,
  sendProof,
  signInBound,
} from '../support/device.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { setCookies } from '../support/inject-browser.ts'
import type { InjectGateway } from '../support/inject-gateway.ts'
import { cookiesOf, proofCookie, publicUrl, sendFromElsewhere, startBoundGateway } from './support.ts'

const minuteMs = 60_000

test('while the store is down requests and registrations get 503, and no session ends', async (t) => {
  const gateway = await startBoundGateway(t)
  const [bound, unbound] = [gateway.newBrowser(), gateway.newBrowser()]
  await signInBound(bound, await createDevice())
  const login = await unbound.signIn()

  const end = breakStore(t, gateway)
  const registration = await register(unbound, await createDevice(), login)
  for (const answer of [await bound.call('/bff/session'), registration]) {
    assertError(answer, 503, 'BFF_STORE_UNAVAILABLE')
    assert.deepEqual(setCookies(answer), [])
  }
  end()
  assert.equal((await bound.call('/bff/session')).json().bound, true)
  assert.equal((await register(unbound, await createDevice(), login)).statusCode, 200)
})

test('a proof that ends while the store is down is renewed once, for its own device only', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const stolen = cookiesOf(browser)
  const end = breakStore(t, gateway)

  await clock.advance(9 * minuteMs)
  assertError(await refresh(browser, await createDevice(), id), 403, 'BFF_DEVICE_PROOF_REQUIRED')
  const answer = await refresh(browser, device, id)
  assert.equal(answer.statusCode, 200, answer.body)
  assert.equal(answer.json().session_identifier, id)
  assertError(await askToRefresh(browser, id), 503, 'BFF_STORE_UNAVAILABLE')

  await clock.advance(9 * minuteMs)
  end()
  // The browser may not refresh at once after failures.
  assert.equal((await browser.call('/bff/session')).json().bound, true)
  assertError(await sendFromElsewhere(gateway, stolen), 401, 'BFF_SESSION_NOT_BOUND', {
    loginUrl: '/bff/login',
  })
  assert.equal((await refresh(browser, device, id)).statusCode, 200)
})

test('without a valid proof nothing is renewed while the store is down', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await startBoundGateway(t, { extras: { clock } })
  const [browser, other] = [gateway.newBrowser(), gateway.newBrowser()]
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const otherId = await signInBound(other, device)
  const challenge = refreshChallenge(await askToRefresh(browser, id))
  breakStore(t, gateway)

  assertError(await askToRefresh(browser, otherId), 503, 'BFF_STORE_UNAVAILABLE')
  browser.cookies.store(new URL(publicUrl), [`${proofCookie}=; Max-Age=0; Path=/; Secure`])
  assertError(await sendProof(browser, id, await device.proof(challenge)), 503, 'BFF_STORE_UNAVAILABLE')
})

test('a refresh whose challenge can not be marked as used is one of an outage', async (t) => {
  const gateway = await startBoundGateway(t)
  const browser = gateway.newBrowser()
  const device = await createDevice()
  const id = await signInBound(browser, device)
  const jwt = await device.proof(refreshChallenge(await askToRefresh(browser, id)))
  t.mock.method(gateway.app.sessionStore, 'addMarker', unavailable)

  assert.equal((await sendProof(browser, id, jwt)).statusCode, 200)
  assertError(await sendProof(browser, id, jwt), 503, 'BFF_STORE_UNAVAILABLE')
})

/** @returns ends the outage */
function breakStore(t: TestContext, { app }: InjectGateway): () => void {
  const mocks = (['read', 'replace', 'addMarker'] as const).map((name) =>
    t.mock.method(app.sessionStore, name, unavailable),
  )
  const peek = t.mock.method(app.sessionStore, 'peek', () => undefined)
  return () => {
    for (const mock of [...mocks, peek]) mock.mock.restore()
  }
}

async function unavailable(): Promise<never> {
  throw new StoreUnavailableError(new Error('down'))
}
