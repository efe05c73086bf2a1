import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { fingerprint } from '../../demo/issuer/events.ts'
import { until } from '../support/until.ts'
import {
  answerWith,
  breakConnection,
  type Fault,
  foreignIdentity,
  hang,
  hold,
  loseAnswer,
  omitIdToken,
  omitRefreshToken,
} from './faults.ts'
import {
  assertEnded,
  assertGrants,
  assertNoSession,
  assertServed,
  assertSurvives,
  assertUnavailableNow,
  longestWait,
  said,
  sendAgain,
} from './judge.ts'
import { expiredMs, inWindowMs, issuerTimeoutMs, type SignedIn, startWorld, type World } from './world.ts'

let world: World

before(async () => {
  world = await startWorld()
})
after(() => world.close())

interface PassingFault {
  fault: Fault
  /** The back-off of all gateways after each failure, in milliseconds, without jitter. */
  backOffMs?: number[]
}

const passing: Record<string, PassingFault> = {
  'breaks the connection': { fault: breakConnection },
  'does not answer': { fault: hang, backOffMs: [750] },
  'answers 500 with a page': { fault: answerWith(500, '<h1>Oops</h1>') },
  'answers 503 in JSON': { fault: answerWith(503, { error: 'temporarily_unavailable' }) },
  'answers 429 with Retry-After': {
    fault: answerWith(429, { error: 'slow_down' }, { 'retry-after': '3' }),
    backOffMs: [3000],
  },
  'answers 200 with a page': { fault: answerWith(200, '<h1>Welcome</h1>') },
  'answers 200 with half an answer': {
    fault: answerWith(200, '{"access_token":"ab', { 'content-type': 'application/json' }),
  },
  'answers 200 without a token': { fault: answerWith(200, {}) },
  'no longer knows the client': {
    fault: answerWith(401, { error: 'invalid_client' }, { 'www-authenticate': 'Basic realm="issuer"' }),
  },
  'no longer allows the grant': { fault: answerWith(400, { error: 'unauthorized_client' }) },
}

// Each session has its own fault, so that they run in parallel.
describe('an issuer that', { concurrency: true }, () => {
  for (const [what, { fault, backOffMs = [750, 1500] }] of Object.entries(passing)) {
    test(`${what}: the session stays, all processes back off together, and a later renewal succeeds`, async (t) => {
      const alice = await world.signIn()
      await alice.stored.leaveTokens(inWindowMs)
      const held = hold('request', fault)
      alice.lineage.fault = held.fault

      const served = await alice.storm(world.gateways, 3)
      // The issuer has not answered yet: a usable token does not wait for its renewal.
      assertServed(served, alice)
      await held.reached
      assert.equal(alice.lineage.requestedAt.length, 1)
      held.release()
      await failures(alice, 1)

      await alice.stored.leaveTokens(expiredMs)
      const refused = await refusedUntil(alice, () => alice.lineage.requestedAt.length > backOffMs.length)
      await assertBackedOff(alice, backOffMs)

      alice.lineage.fault = undefined
      await until(async () => (await alice.call(nextGateway())).status === 200)
      assertGrants(alice, 1)
      await assertSurvives(alice, world.gateways)
      tell(t, { refused: refused.length, longestWaitMs: longestWait([...served, ...refused]) })
    })
  }

  test('answers slowly, but in time: all requests wait for the one grant', async (t) => {
    const alice = await world.signIn()
    await alice.stored.leaveTokens(expiredMs)
    const held = hold('answer')
    alice.lineage.fault = held.fault
    const waiting = alice.storm(world.gateways, 5)
    await held.reached
    await Promise.all(world.gateways.map((gateway) => gateway.logged(said(alice, 'token.renewal.due'))))
    held.release()

    const answers = await waiting
    assertServed(answers, alice)
    assertGrants(alice, 1)
    tell(t, { longestWaitMs: longestWait(answers) })
  })

  test('answers too late: waiting requests get 503, later ones get its tokens', async (t) => {
    const alice = await world.signIn()
    await alice.stored.leaveTokens(expiredMs)
    const held = hold('answer')
    alice.lineage.fault = held.fault

    const answers = await alice.storm(world.gateways, 5)
    held.release()

    for (const answer of answers) {
      assertUnavailableNow(answer)
      assert.ok(answer.tookMs >= issuerTimeoutMs - 10, `Given up after ${answer.tookMs} ms`)
    }
    await until(async () => (await alice.stored.read())?.renewals === 1)
    assertServed(await alice.storm(world.gateways, 5), alice)
    assert.equal(alice.lineage.requestedAt.length, 1)
    assertGrants(alice, 1)
    await assertSurvives(alice, world.gateways)
    tell(t, { refused: answers.length, longestWaitMs: longestWait(answers) })
  })

  test('spends the token and loses the answer: it is retried after the back-off, then the session ends', async () => {
    const alice = await world.signIn()
    await alice.stored.leaveTokens(expiredMs)
    alice.lineage.fault = loseAnswer
    assertUnavailableNow(await alice.call(nextGateway()))
    alice.lineage.fault = undefined

    const ended = await until(async () => {
      const answer = await alice.call(nextGateway())
      return answer.status !== 503 && answer
    })

    assertEnded(ended)
    await assertBackedOff(alice, [750])
    assert.deepEqual(
      alice.lineage.grants().map(({ outcome, error }) => error ?? outcome),
      ['success', 'invalid_grant'],
    )
  })

  test('refuses the refresh token: the session ends, which is logged once', async () => {
    const alice = await world.signIn()
    const cookie = alice.browser.cookies.get('bff')?.value ?? ''
    await alice.stored.leaveTokens(expiredMs)
    alice.lineage.fault = answerWith(400, { error: 'invalid_grant' })

    assertEnded(await alice.call(nextGateway()))

    // A gateway endpoint clears the cookie.
    await alice.call(nextGateway(), { path: '/bff/session' })
    assert.equal(alice.browser.cookies.get('bff'), undefined)
    assert.equal(await alice.stored.read(), undefined)
    for (const gateway of world.gateways) assertNoSession(await sendAgain(cookie, gateway))
    assert.equal(alice.lineage.requestedAt.length, 1)
  })

  test('refuses the refresh token in the background: the next request gets 401', async () => {
    const alice = await world.signIn()
    const cookie = alice.browser.cookies.get('bff')?.value ?? ''
    await alice.stored.leaveTokens(inWindowMs)
    alice.lineage.fault = answerWith(400, { error: 'invalid_grant' })

    assertServed([await alice.call(nextGateway())], alice)

    await until(async () => (await alice.stored.read()) === undefined)
    for (const gateway of world.gateways) assertNoSession(await sendAgain(cookie, gateway))
    assert.equal(alice.lineage.requestedAt.length, 1)
  })

  test('refuses a refresh token that is no longer the newest: the newer tokens are used', async () => {
    const alice = await world.signIn()
    await alice.stored.leaveTokens(expiredMs)
    const held = hold('request', answerWith(400, { error: 'invalid_grant' }))
    alice.lineage.fault = held.fault
    const waiting = alice.storm(world.gateways, 5)
    await held.reached
    await alice.stored.leaveTokens(inWindowMs * 2, 'as renewed')
    held.release()

    assertServed(await waiting, alice)
    await assertSurvives(alice, world.gateways)
  })

  test('sends no new refresh token: the old one is kept', async () => {
    const alice = await world.signIn()
    for (const renewals of [1, 2]) {
      await alice.stored.leaveTokens(expiredMs)
      alice.lineage.fault = omitRefreshToken
      assertServed(await alice.storm(world.gateways, 2), alice)
      const record = await alice.stored.read()
      assert.equal(record?.renewals, renewals)
      assert.equal(record?.tokenSet.refreshToken, alice.lineage.tokens[0])
    }
    assertGrants(alice, 2)
  })

  test('sends no new ID token: the old one is kept, and sent as id_token_hint at logout', async () => {
    const alice = await world.signIn()
    const before = await alice.stored.read()
    await alice.stored.leaveTokens(expiredMs)
    alice.lineage.fault = omitIdToken
    assertServed(await alice.storm(world.gateways, 2), alice)

    const record = await alice.stored.read()
    assert.ok(record?.tokenSet.idToken)
    assert.equal(record.tokenSet.idToken, before?.tokenSet.idToken)
    const answer = await alice.call(nextGateway(), { path: `/bff/logout?sid=${record.sid}` })
    const location = new URL(answer.headers.get('location') ?? '')
    assert.equal(location.searchParams.get('id_token_hint'), record.tokenSet.idToken)
  })

  for (const [what, claims] of Object.entries({
    'another user': { sub: 'bob' },
    'another issuer': { iss: 'https://elsewhere.example' },
  })) {
    test(`sends an ID token of ${what}: its tokens are not used and revoked, and the session ends`, async () => {
      const alice = await world.signIn()
      await alice.stored.leaveTokens(expiredMs)
      alice.lineage.fault = foreignIdentity(claims)

      assertEnded(await alice.call(nextGateway()), 'Token error: foreign identity')

      assert.equal(await alice.stored.read(), undefined)
      const fresh = fingerprint(alice.lineage.newest())
      assert.ok(world.issuer.events.revocations().some(({ tokenHash }) => tokenHash === fresh))
      assert.equal(await world.issuer.takes(alice.lineage.newest()), false)
    })
  }
})

test('an issuer that is down: the session stays, and is renewed when it is back', async (t) => {
  const [fresh, old] = await Promise.all([world.signIn(), world.signIn('bob')])
  await Promise.all([fresh.stored.leaveTokens(inWindowMs), old.stored.leaveTokens(expiredMs)])
  await world.issuer.goDown()

  const served = await fresh.storm(world.gateways, 5)
  const refused = await old.storm(world.gateways, 5)
  await world.issuer.comeBack()

  assertServed(served, fresh)
  for (const answer of refused) assertUnavailableNow(answer)
  for (const session of [fresh, old]) {
    await until(async () => {
      assert.equal((await session.call(nextGateway())).status, 200)
      return (await session.stored.read())?.renewals === 1
    })
    assertGrants(session, 1)
    await assertSurvives(session, world.gateways)
  }
  tell(t, { refused: refused.length, longestWaitMs: longestWait([...served, ...refused]) })
})

let turn = 0

/** A different gateway each time. */
function nextGateway() {
  const gateway = world.gateways[turn++ % world.gateways.length]
  assert.ok(gateway)
  return gateway
}

/** Calls all gateways repeatedly, with 503 each time, until `enough`. */
async function refusedUntil(session: SignedIn, enough: () => boolean) {
  const answers = []
  while (!enough()) {
    answers.push(...(await session.storm(world.gateways, 1)))
    for (const answer of answers.slice(-world.gateways.length)) assertUnavailableNow(answer)
    assert.ok(answers.length < 1000, 'The issuer is not asked again')
    await wait(100)
  }
  return answers
}

/** How much readings of one clock may differ. */
const clockMs = 10

/** The failed renewals of all processes, once there are that many. */
function failures(session: SignedIn, count: number) {
  const isFailure = said(session, 'token.renewal.failed')
  return until(() => {
    const lines = world.gateways.flatMap(({ logs }) => logs.filter(isFailure))
    return lines.length >= count && lines.sort((a, b) => Number(a['time']) - Number(b['time']))
  })
}

/** Asserts that after each failure no process calls the issuer before the back-off is over. */
async function assertBackedOff(session: SignedIn, atLeastMs: number[]): Promise<void> {
  const failed = await failures(session, atLeastMs.length)
  for (const [i, least] of atLeastMs.entries()) {
    const { time, retryInMs } = failed[i] ?? assert.fail()
    assert.ok(Number(retryInMs) >= least, `Backs off for ${retryInMs} ms, not ${least}`)
    const apartMs = (session.lineage.requestedAt[i + 1] ?? Number.POSITIVE_INFINITY) - Number(time)
    assert.ok(apartMs >= Number(retryInMs) - clockMs, `Try ${i + 2} came ${apartMs} ms after the failure`)
  }
}

function tell(t: TestContext, figures: Record<string, number>): void {
  const list = Object.entries(figures).map(([name, value]) => `${name}: ${value}`)
  t.diagnostic(list.join(', '))
}
