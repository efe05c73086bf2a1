import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fingerprint } from '../../demo/issuer/events.ts'
import { until } from '../support/until.ts'
import { hold } from './faults.ts'
import {
  assertGrants,
  assertNoSession,
  assertServed,
  assertSurvives,
  longestWait,
  said,
  sendAgain,
} from './judge.ts'
import { expiredMs, inWindowMs, startWorld, type World } from './world.ts'

const each = 50
let world: World

before(async () => {
  world = await startWorld()
})
after(() => world.close())

test('fifty requests on each of four processes at the moment of expiry: one grant, and all are served', async (t) => {
  const alice = await world.signIn()
  const old = await alice.stored.read()
  const seenBefore = world.timeApi.requests.length
  await alice.stored.leaveTokens(expiredMs)

  const answers = await alice.storm(world.gateways, each)

  assert.equal(answers.length, 200)
  assertServed(answers, alice)
  assertGrants(alice, 1)
  const sent = world.timeApi.requests.slice(seenBefore).map(({ accessTokenHash }) => accessTokenHash)
  assert.equal(sent.length, 200, 'One request of a browser is one request to the API')
  assert.equal(new Set(sent).size, 1)
  assert.notEqual(sent[0], fingerprint(old?.tokenSet.accessToken ?? ''))
  t.diagnostic(`grants: 1, failures: 0, longest wait: ${longestWait(answers)} ms`)
  await assertSurvives(alice, world.gateways)
})

test('fifty requests on each of four processes inside the window: one grant, and no request waits for it', async (t) => {
  const alice = await world.signIn()
  await alice.stored.leaveTokens(inWindowMs)
  const held = hold('answer')
  alice.lineage.fault = held.fault

  const answers = await alice.storm(world.gateways, each)

  // The issuer has not answered yet, but all the requests have been.
  assertServed(answers, alice)
  await held.reached
  held.release()
  await until(async () => (await alice.stored.read())?.renewals === 1)
  assertGrants(alice, 1)
  assert.equal(alice.lineage.requestedAt.length, 1)
  t.diagnostic(`grants: 1, failures: 0, longest wait: ${longestWait(answers)} ms`)
  await assertSurvives(alice, world.gateways)
})

test("two users with parallel storms of requests never get each other's answers", async (t) => {
  const [alice, bob] = await Promise.all([world.signIn('alice'), world.signIn('bob')])
  await Promise.all([alice.stored.leaveTokens(expiredMs), bob.stored.leaveTokens(inWindowMs)])

  const [forAlice, forBob] = await Promise.all([
    alice.storm(world.gateways, each),
    bob.storm(world.gateways, each),
  ])

  assertServed(forAlice, alice)
  assertServed(forBob, bob)
  await until(async () => (await bob.stored.read())?.renewals === 1)
  assertGrants(alice, 1)
  assertGrants(bob, 1)
  t.diagnostic(`grants: 2, failures: 0, longest wait: ${longestWait([...forAlice, ...forBob])} ms`)
  await Promise.all([assertSurvives(alice, world.gateways), assertSurvives(bob, world.gateways)])
})

test('browsers that disconnect while they wait for a renewal do not cancel it', async () => {
  const alice = await world.signIn()
  await alice.stored.leaveTokens(expiredMs)
  const held = hold('answer')
  alice.lineage.fault = held.fault
  const leaving = new AbortController()
  const { signal } = leaving
  const waiting = world.gateways.flatMap((gateway) =>
    [1, 2, 3, 4, 5].map(() => alice.call(gateway, { signal })),
  )
  const outcomes = Promise.allSettled(waiting)
  await held.reached
  await Promise.all(world.gateways.map((gateway) => gateway.logged(said(alice, 'token.renewal.due'))))

  leaving.abort()

  assert.ok((await outcomes).every(({ status }) => status === 'rejected'))
  held.release()
  await until(async () => (await alice.stored.read())?.renewals === 1)
  assertGrants(alice, 1)
  assertServed(await alice.storm(world.gateways, 1), alice)
  assertGrants(alice, 1)
  await assertSurvives(alice, world.gateways)
})

test('a logout at another gateway during a renewal: the session stays ended, and the late tokens are revoked', async () => {
  const alice = await world.signIn()
  const [holder, elsewhere] = world.gateways
  assert.ok(holder && elsewhere)
  await alice.stored.leaveTokens(expiredMs)
  const held = hold('answer')
  alice.lineage.fault = held.fault
  const cookie = alice.browser.cookies.get('bff')?.value ?? ''
  const waiting = alice.call(holder)
  await held.reached

  await alice.browser.signOut(elsewhere.url)
  held.release()

  assert.equal((await waiting).status, 401, (await waiting).body)
  const fresh = fingerprint(alice.lineage.newest())
  await until(() => world.issuer.events.revocations().some(({ tokenHash }) => tokenHash === fresh))
  assert.equal(await alice.stored.read(), undefined)
  for (const gateway of world.gateways) assertNoSession(await sendAgain(cookie, gateway))
  assert.equal(await world.issuer.takes(alice.lineage.newest()), false, 'The fresh refresh token still works')
})

test('all remaining keys in Redis expire', async () => {
  await world.signIn()
  const ttls = await world.store.timesToLive()
  assert.ok(ttls.length > 0)
  for (const [key, ttlMs] of ttls) assert.ok(ttlMs > 0, `${key} has no time to live`)
})
