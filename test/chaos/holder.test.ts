import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fingerprint } from '../../demo/issuer/events.ts'
import type { Gateway } from '../support/gateway.ts'
import { until } from '../support/until.ts'
import { allowReuse, type Held, hold } from './faults.ts'
import {
  assertEnded,
  assertGrants,
  assertNoSession,
  assertServed,
  assertSurvives,
  assertUnavailableNow,
  longestWait,
  said,
} from './judge.ts'
import {
  expiredMs,
  inWindowMs,
  lockMs,
  type SignedIn,
  startWorld,
  type TimedAnswer,
  type World,
} from './world.ts'

/** How much three processes' readings of one clock may differ. */
const clockMs = 10

// Each test ends or freezes its own gateway, so that none has to wait until another's locks expire.
describe('the process that renews', { concurrency: true }, () => {
  let world: World
  let survivor: Gateway

  before(async () => {
    world = await startWorld({ gateways: 6 })
    survivor = nextGateway()
  })
  after(() => world.close())

  test('is killed before the issuer gets the request: another renews once the lock has expired', async (t) => {
    const victim = nextGateway()
    const fresh = await sessionInRenewal(victim, inWindowMs, 'request')
    const old = await sessionInRenewal(victim, expiredMs, 'request')
    await victim.kill()
    const killedAt = performance.now()
    const [nextFresh, nextOld] = [holdNext(fresh), holdNext(old)]

    const served = await fresh.session.storm([survivor], 5)
    // It is not renewed yet: a usable token does not wait for its renewal.
    assertServed(served, fresh.session)
    nextFresh.release()
    const refused = await old.session.storm([survivor], 5)
    for (const answer of refused) assertUnavailableNow(answer)
    nextOld.release()

    await until(async () => (await old.session.call(survivor)).status === 200)
    const tookMs = Math.round(performance.now() - killedAt)
    await until(async () => {
      assertServed([await fresh.session.call(survivor)], fresh.session)
      return (await fresh.session.stored.read())?.renewals === 1
    })
    for (const { session } of [fresh, old]) {
      assertGrants(session, 1)
      const due = victim.logs.find(said(session, 'token.renewal.due'))
      const [, second = 0, ...more] = session.lineage.requestedAt
      const apartMs = second - Number(due?.['time'])
      assert.ok(apartMs >= lockMs - clockMs, `Another tried after ${apartMs} ms`)
      assert.deepEqual(more, [])
      await assertSurvives(session, [survivor])
    }
    t.diagnostic(
      `grants: 2, longest wait: ${longestWait([...served, ...refused])} ms, resumed after ${tookMs} ms`,
    )
  })

  test('is killed after the issuer has spent the token: the session ends with 401', async (t) => {
    const victim = nextGateway()
    const fresh = await sessionInRenewal(victim, inWindowMs, 'answer')
    const old = await sessionInRenewal(victim, expiredMs, 'answer')
    await victim.kill()
    const [nextFresh, nextOld] = [holdNext(fresh), holdNext(old)]

    assertServed(await fresh.session.storm([survivor], 5), fresh.session)
    nextFresh.release()
    const refused = await old.session.storm([survivor], 5)
    for (const answer of refused) assertUnavailableNow(answer)

    // The survivor calls the issuer even if no request waits, and only waiting requests get the outcome.
    await nextOld.reached
    const waiting = await waitingCall(old.session)
    nextOld.release()
    assertEnded(await waiting.answer)
    // A gateway endpoint clears the cookie.
    await old.session.call(survivor, { path: '/bff/session' })
    assert.equal(old.session.browser.cookies.get('bff'), undefined)
    // Ended in the background, so no request got the outcome.
    const refusal = await until(async () => {
      const answer = await fresh.session.call(survivor)
      return answer.status !== 200 && answer
    })
    assertNoSession(refusal)
    for (const { session } of [fresh, old]) {
      assert.deepEqual(
        session.lineage.grants().map(({ outcome, error }) => error ?? outcome),
        ['success', 'invalid_grant'],
      )
      assert.equal(await session.stored.read(), undefined)
    }
    t.diagnostic(`longest wait: ${longestWait(refused)} ms`)
  })

  test('is frozen until its lock has expired, without another renewal: its late tokens are stored', async () => {
    const victim = nextGateway()
    const { session, held } = await sessionInRenewal(victim, expiredMs, 'answer')
    victim.pause()
    await held.release()
    await until(async () => !(await world.store.isLocked(session.stored)))

    victim.resume()

    await until(async () => (await session.stored.read())?.renewals === 1)
    assertGrants(session, 1)
    assertServed([await session.call(survivor)], session)
    await assertSurvives(session, [survivor, victim])
  })

  test('is frozen until another has renewed: its late tokens replace nothing', async () => {
    const victim = nextGateway()
    const { session, held } = await sessionInRenewal(victim, expiredMs, 'answer')
    victim.pause()
    // Otherwise reuse would end the session at the issuer before the gateway's behaviour shows.
    session.lineage.fault = allowReuse
    const answers = await until(async () => {
      const answer = await session.call(survivor)
      return answer.status === 200 && [answer]
    })
    assertServed(answers, session)
    const newest = session.lineage.newest()

    await held.release()
    victim.resume()

    await victim.logged(said(session, 'token.renewal.done'))
    const record = await session.stored.read()
    assert.equal(record?.renewals, 1)
    assert.equal(fingerprint(record?.tokenSet.refreshToken ?? ''), fingerprint(newest))
    assert.equal(session.lineage.newest(), newest)
    await assertSurvives(session, [survivor, victim])
  })

  test('is frozen and its request gets lost: its late failure causes no back-off for others', async () => {
    const victim = nextGateway()
    const { session, held } = await sessionInRenewal(victim, expiredMs, 'request')
    victim.pause()
    await until(async () => (await session.call(survivor)).status === 200)
    await session.stored.leaveTokens(expiredMs)

    victim.resume()
    held.lose()

    await victim.logged(said(session, 'token.renewal.failed'))
    assertServed(await session.storm([survivor, victim], 5), session)
    assertGrants(session, 2)
    await assertSurvives(session, [survivor, victim])
  })

  function nextGateway(): Gateway {
    const gateway = world.gateways.pop()
    assert.ok(gateway, 'Start more of them')
    return gateway
  }

  /**
   * The next renewal, once the lock has expired, is held at the issuer: so it does not depend on the machine's speed
   * whether requests meanwhile arrive early enough.
   */
  function holdNext({ session }: SessionInRenewal): Held {
    const held = hold('request')
    session.lineage.fault = held.fault
    return held
  }

  /** A call that waits for the renewal under way. */
  async function waitingCall(session: SignedIn): Promise<{ answer: Promise<TimedAnswer> }> {
    const before = new Set(survivor.logs)
    const isWaiting = said(session, 'token.acquire')
    const answer = session.call(survivor)
    await survivor.logged((line) => !before.has(line) && isWaiting(line))
    return { answer }
  }

  interface SessionInRenewal {
    session: SignedIn
    held: Held
  }

  /** A session that `victim` is renewing, while the issuer holds the grant. */
  async function sessionInRenewal(
    victim: Gateway,
    leftMs: number,
    what: 'request' | 'answer',
  ): Promise<SessionInRenewal> {
    const session = await world.signIn('alice', survivor)
    await session.stored.leaveTokens(leftMs)
    const held = hold(what)
    session.lineage.fault = held.fault
    // Fails when its gateway is killed.
    session.call(victim).catch(() => {})
    await held.reached
    session.lineage.fault = undefined
    return { session, held }
  }
})
