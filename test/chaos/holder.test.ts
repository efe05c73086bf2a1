import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fingerprint } from '../../demo/issuer/events.ts'
import type { Gateway } from '../support/gateway.ts'
import { until } from '../support/until.ts'
import { forgive, type Held, hold } from './faults.ts'
import {
  assertEnded,
  assertGrants,
  assertLivesOn,
  assertNoSession,
  assertNotNow,
  assertServed,
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

/** What three processes' views of one clock may differ by. */
const clockMs = 10

// Each test ends or freezes a gateway of its own, so that none has to wait for the others' locks to lapse.
describe('the process that renews', { concurrency: true }, () => {
  let world: World
  let survivor: Gateway

  before(async () => {
    world = await startWorld({ gateways: 6 })
    survivor = aGateway()
  })
  after(() => world.close())

  test('is killed before the issuer saw the request: another renews once the lock has lapsed', async (t) => {
    const victim = aGateway()
    const fresh = await caughtInRenewal(victim, inWindowMs, 'request')
    const old = await caughtInRenewal(victim, expiredMs, 'request')
    await victim.kill()
    const killedAt = performance.now()
    const [nextFresh, nextOld] = [holdNext(fresh), holdNext(old)]

    const served = await fresh.session.storm([survivor], 5)
    // Nobody has renewed it yet: a usable token is not held back by its renewal.
    assertServed(served, fresh.session)
    nextFresh.release()
    const refused = await old.session.storm([survivor], 5)
    for (const answer of refused) assertNotNow(answer)
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
      await assertLivesOn(session, [survivor])
    }
    t.diagnostic(
      `grants: 2, longest wait: ${longestWait([...served, ...refused])} ms, resumed after ${tookMs} ms`,
    )
  })

  test('is killed when the issuer has spent the token: the session ends, and says so', async (t) => {
    const victim = aGateway()
    const fresh = await caughtInRenewal(victim, inWindowMs, 'answer')
    const old = await caughtInRenewal(victim, expiredMs, 'answer')
    await victim.kill()
    const [nextFresh, nextOld] = [holdNext(fresh), holdNext(old)]

    assertServed(await fresh.session.storm([survivor], 5), fresh.session)
    nextFresh.release()
    const refused = await old.session.storm([survivor], 5)
    for (const answer of refused) assertNotNow(answer)

    // The survivor asks the issuer whether or not anybody still waits, and only who waits is told.
    await nextOld.reached
    const waiting = await waitingCall(old.session)
    nextOld.release()
    assertEnded(await waiting.answer)
    // An endpoint of the gateway's own clears the cookie.
    await old.session.call(survivor, { path: '/bff/session' })
    assert.equal(old.session.browser.cookies.get('bff'), undefined)
    // Ended in the background, so nobody was told.
    const told = await until(async () => {
      const answer = await fresh.session.call(survivor)
      return answer.status !== 200 && answer
    })
    assertNoSession(told)
    for (const { session } of [fresh, old]) {
      assert.deepEqual(
        session.lineage.grants().map(({ outcome, error }) => error ?? outcome),
        ['success', 'invalid_grant'],
      )
      assert.equal(await session.stored.read(), undefined)
    }
    t.diagnostic(`longest wait: ${longestWait(refused)} ms`)
  })

  test('is frozen until its lock has lapsed, and nobody else renewed: its late tokens are kept', async () => {
    const victim = aGateway()
    const { session, held } = await caughtInRenewal(victim, expiredMs, 'answer')
    victim.pause()
    await held.release()
    await until(async () => !(await world.store.isLocked(session.stored)))

    victim.resume()

    await until(async () => (await session.stored.read())?.renewals === 1)
    assertGrants(session, 1)
    assertServed([await session.call(survivor)], session)
    await assertLivesOn(session, [survivor, victim])
  })

  test('is frozen until another has renewed: its late tokens replace nothing', async () => {
    const victim = aGateway()
    const { session, held } = await caughtInRenewal(victim, expiredMs, 'answer')
    victim.pause()
    // Or reuse would end the session at the issuer before it can be seen what the gateway does.
    session.lineage.fault = forgive
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
    await assertLivesOn(session, [survivor, victim])
  })

  test('is frozen and its request gets lost: what it then has to say keeps nobody away', async () => {
    const victim = aGateway()
    const { session, held } = await caughtInRenewal(victim, expiredMs, 'request')
    victim.pause()
    await until(async () => (await session.call(survivor)).status === 200)
    await session.stored.leaveTokens(expiredMs)

    victim.resume()
    held.lose()

    await victim.logged(said(session, 'token.renewal.failed'))
    assertServed(await session.storm([survivor, victim], 5), session)
    assertGrants(session, 2)
    await assertLivesOn(session, [survivor, victim])
  })

  function aGateway(): Gateway {
    const gateway = world.gateways.pop()
    assert.ok(gateway, 'Start more of them')
    return gateway
  }

  /**
   * The next to renew it, once the lock has lapsed, waits at the issuer: so it is not the machine that decides whether
   * what is asked meanwhile comes early enough.
   */
  function holdNext({ session }: Caught): Held {
    const held = hold('request')
    session.lineage.fault = held.fault
    return held
  }

  /** A call that waits for the renewal that is under way. */
  async function waitingCall(session: SignedIn): Promise<{ answer: Promise<TimedAnswer> }> {
    const before = new Set(survivor.logs)
    const isWaiting = said(session, 'token.acquire')
    const answer = session.call(survivor)
    await survivor.logged((line) => !before.has(line) && isWaiting(line))
    return { answer }
  }

  interface Caught {
    session: SignedIn
    held: Held
  }

  /** A session that `victim` is just renewing, while the issuer holds it back. */
  async function caughtInRenewal(
    victim: Gateway,
    leftMs: number,
    what: 'request' | 'answer',
  ): Promise<Caught> {
    const session = await world.signIn('alice', survivor)
    await session.stored.leaveTokens(leftMs)
    const held = hold(what)
    session.lineage.fault = held.fault
    // Breaks off when its gateway is killed.
    session.call(victim).catch(() => {})
    await held.reached
    session.lineage.fault = undefined
    return { session, held }
  }
})
