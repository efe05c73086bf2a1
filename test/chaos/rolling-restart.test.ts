import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { until } from '../support/until.ts'
import { startLoad } from './balanced-load.ts'
import { hold } from './faults.ts'
import { assertGrants, assertServed, assertSurvives } from './judge.ts'
import { expiredMs, startWorld, type World } from './world.ts'

let world: World

before(async () => {
  // The default delay: time for a load balancer on a busy machine to notice the shutdown.
  world = await startWorld({ accessTokenLifetime: 12, env: { SHUTDOWN_DELAY: '5s' } })
})
after(() => world.close())

test('all gateways are replaced in turn under load: no request and no session is lost, no grant is doubled', async (t) => {
  const sessions = await Promise.all(['alice', 'bob', 'alice'].map((user) => world.signIn(user)))
  let serving = world.gateways
  const load = startLoad(sessions, serving)
  await load.more(50)

  const exits = []
  for (const leaving of world.gateways) {
    // The new one starts before the old one stops, as with orchestrators.
    const coming = await world.startGateway()
    serving = [...serving, coming]
    load.spreadOver(serving)
    exits.push(await leaving.stop('SIGTERM'))
    serving = serving.filter((gateway) => gateway !== leaving)
    load.spreadOver(serving)
    await load.more(50)
  }
  for (const { lineage } of sessions) await until(() => lineage.grants().length >= 2)
  await load.stop()

  const lost = load.answers.filter(({ status }) => status !== 200)
  assert.deepEqual(
    lost.map(({ status, body }) => ({ status, body })),
    [],
  )
  for (const { session, body } of load.answers) {
    assert.equal((JSON.parse(body) as { user: string }).user, session.user)
  }
  assert.deepEqual(
    exits.map(({ code }) => code),
    [0, 0, 0, 0],
  )
  let grants = 0
  for (const { lineage, stored } of sessions) {
    await until(async () => (await stored.read())?.renewals === lineage.grants().length)
    assertGrants({ lineage }, lineage.grants().length)
    grants += lineage.grants().length
  }
  const longest = Math.max(...load.answers.map(({ tookMs }) => tookMs))
  t.diagnostic(`requests: ${load.answers.length}, lost: 0, grants: ${grants}, longest wait: ${longest} ms`)
})

test('a gateway that gets SIGTERM during a renewal stores the tokens first', async () => {
  const [survivor, leaving] = await Promise.all([world.startGateway(), world.startGateway()])
  const alice = await world.signIn('alice', survivor)
  await alice.stored.leaveTokens(expiredMs)
  const held = hold('answer')
  alice.lineage.fault = held.fault
  const waiting = alice.storm([leaving], 5)
  await held.reached

  leaving.signal('SIGTERM')
  await leaving.logged(({ event }) => event === 'shutdown.begun')
  held.release()

  assertServed(await waiting, alice)
  assert.deepEqual(await leaving.exited, { code: 0, signal: null })
  assertGrants(alice, 1)
  await assertSurvives(alice, [survivor])
})

test('a gateway whose browsers have disconnected stores the tokens of their renewal before it exits', async () => {
  const [survivor, leaving] = await Promise.all([world.startGateway(), world.startGateway()])
  const alice = await world.signIn('alice', survivor)
  await alice.stored.leaveTokens(expiredMs)
  const held = hold('answer')
  alice.lineage.fault = held.fault
  const browser = new AbortController()
  const waiting = alice.call(leaving, { signal: browser.signal })
  await held.reached
  browser.abort()
  await assert.rejects(waiting)

  leaving.signal('SIGTERM')
  await leaving.logged(({ event }) => event === 'shutdown.begun')
  await until(async () =>
    fetch(`${leaving.url}/healthz`).then(
      () => false,
      () => true,
    ),
  )
  held.release()

  assert.deepEqual(await leaving.exited, { code: 0, signal: null })
  assertGrants(alice, 1)
  await assertSurvives(alice, [survivor])
})
