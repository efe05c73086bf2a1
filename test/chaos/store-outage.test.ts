import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { fingerprint } from '../../demo/issuer/events.ts'
import { giveUpMs, until } from '../support/until.ts'
import { hold } from './faults.ts'
import {
  assertGrants,
  assertNoSession,
  assertServed,
  assertSurvives,
  assertUnavailableNow,
  bodyOf,
  longestWait,
} from './judge.ts'
import { type Network, startNetwork } from './network.ts'
import {
  expiredMs,
  inWindowMs,
  lockMs,
  marginMs,
  type SignedIn,
  startWorld,
  storeTimeoutMs,
  type TimedAnswer,
  type World,
} from './world.ts'

/** How long a gateway may answer from memory. */
const memoryMs = 2000

let world: World
let network: Network

before(async () => {
  world = await startWorld({
    async redisUrlFor({ port }) {
      network = await startNetwork(port)
      return `redis://127.0.0.1:${network.port}`
    },
  })
})
after(async () => {
  await world.close()
  await network.close()
})

/** Outages of Redis after which it has all its data again. */
const outages = {
  'is frozen': { begin: () => world.redis.pause(), end: () => world.redis.resume() },
  'is cut off': { begin: () => network.cut(), end: () => network.restore() },
}

for (const [what, { begin, end }] of Object.entries(outages)) {
  test(`a Redis that ${what}: all requests get 503 in time, no session ends, and tokens granted meanwhile are stored`, async (t) => {
    const [idle, fresh, ...old] = await Promise.all(
      ['alice', 'bob', 'alice', 'bob', 'alice'].map((user) => world.signIn(user)),
    )
    assert.ok(idle && fresh)
    await fresh.stored.leaveTokens(inWindowMs)
    await Promise.all(old.map(({ stored }) => stored.leaveTokens(expiredMs)))
    const background = await renewing(fresh)
    const waiting = await Promise.all(old.map(renewing))
    assertServed(await background.answers, fresh)

    t.after(end)
    const beganAt = performance.now()
    begin()
    for (const { release } of [background, ...waiting]) release()
    const refused = await outage(idle)
    for (const answer of (await Promise.all(waiting.map(({ answers }) => answers))).flat()) {
      assertUnavailableNow(answer, bodyOf(answer).code)
      refused.push(answer)
    }
    // Their locks have expired by then: any gateway could spend the old refresh tokens again.
    await wait(beganAt + lockMs - performance.now())
    end()

    await Promise.all(
      [idle, fresh, ...old].map(async (session) => {
        await untilServed(session)
        const renewals = session === idle ? 0 : 1
        await until(async () => (await session.stored.read())?.renewals === renewals)
        assertGrants(session, renewals)
        await assertSurvives(session, world.gateways, giveUpMs)
      }),
    )
    t.diagnostic(`grants: 4, refused: ${refused.length}, longest wait: ${longestWait(refused)} ms`)
  })
}

describe('a Redis that is killed', () => {
  test('and comes back empty: all requests are answered in time, and users can sign in again', async (t) => {
    const alice = await world.signIn()
    const gone = await world.signIn('bob')

    await world.redis.kill()
    const refused = await outage(alice)
    await world.redis.restart()

    const answer = await until(async () => {
      const answer = await gone.call(world.gateways[1] ?? assert.fail())
      return answer.status !== 503 && answer
    })
    assertNoSession(answer)
    await untilReady()
    const again = await world.signIn()
    assertServed(await again.storm(world.gateways, 1), again)
    await assertSurvives(again, world.gateways, giveUpMs)
    t.diagnostic(`refused: ${refused.length}, longest wait: ${longestWait(refused)} ms`)
  })

  test('during a renewal and comes back empty: the session has ended, and late tokens are revoked', async () => {
    const alice = await world.signIn()
    await alice.stored.leaveTokens(expiredMs)
    const waiting = await renewing(alice)

    await world.redis.kill()
    waiting.release()
    await outage(alice)
    await world.redis.restart()

    for (const { status } of await waiting.answers) assert.equal(status, 503)
    const fresh = fingerprint(alice.lineage.newest())
    await until(() => world.issuer.events.revocations().some(({ tokenHash }) => tokenHash === fresh))
    assertGrants(alice, 1)
    assert.equal(await world.issuer.takes(alice.lineage.newest()), false)
    await untilReady()
    const [answer] = await alice.storm(world.gateways, 1)
    assertNoSession(answer ?? assert.fail())
  })

  test('and comes back before a grant is answered: nothing is revived', async () => {
    const alice = await world.signIn()
    await alice.stored.leaveTokens(inWindowMs)
    const renewal = await renewing(alice)
    assertServed(await renewal.answers, alice)

    await world.redis.restart()
    await untilReady()
    renewal.release()

    const fresh = fingerprint(alice.lineage.newest())
    await until(() => world.issuer.events.revocations().some(({ tokenHash }) => tokenHash === fresh))
    assert.equal(await alice.stored.read(), undefined)
    assertNoSession((await alice.storm(world.gateways, 1))[0] ?? assert.fail())
  })
})

/** The answers of all gateways until they have noticed the outage, and once more after that. */
async function outage(session: SignedIn): Promise<TimedAnswer[]> {
  const beganAt = performance.now()
  const answers: TimedAnswer[] = []
  while (performance.now() - beganAt < memoryMs) {
    answers.push(...(await session.storm(world.gateways, 2)))
    await wait(100)
  }
  const late = await session.storm(world.gateways, 5)
  for (const answer of late) assertUnavailableNow(answer, 'BFF_STORE_UNAVAILABLE')
  for (const answer of answers) {
    assert.ok([200, 503].includes(answer.status), answer.body)
    assert.deepEqual(answer.headers.getSetCookie(), [])
  }
  const all = [...answers, ...late]
  // Opening the session and, if necessary, renewing it.
  assert.ok(longestWait(all) <= 2 * storeTimeoutMs + marginMs, `Waited for ${longestWait(all)} ms`)
  for (const { url } of world.gateways) {
    assert.equal((await fetch(`${url}/healthz`)).status, 200)
    assert.equal((await fetch(`${url}/readyz`)).status, 503)
  }
  return all
}

async function untilServed(session: SignedIn): Promise<void> {
  await until(async () => {
    const answers = await session.storm(world.gateways, 1)
    for (const answer of answers) if (answer.status !== 200) assertUnavailableNow(answer, bodyOf(answer).code)
    return answers.every(({ status }) => status === 200)
  })
}

async function untilReady(): Promise<void> {
  await until(async () => {
    const answers = await Promise.all(world.gateways.map(({ url }) => fetch(`${url}/readyz`)))
    return answers.every(({ ok }) => ok) && (await world.store.isBack())
  })
}

/** Pending requests to all gateways, while the issuer holds the answer to their one grant. */
async function renewing(session: SignedIn) {
  const held = hold('answer')
  session.lineage.fault = held.fault
  const answers = session.storm(world.gateways, 2)
  await held.reached
  return { answers, release: held.release }
}
