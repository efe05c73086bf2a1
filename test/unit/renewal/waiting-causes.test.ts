import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TokenTarget } from '../../../plugins/issuer/token-set.ts'
import { noMetrics } from '../../../plugins/observability/metrics.ts'
import { StoreUnavailableError } from '../../../plugins/session-store/store.ts'
import {
  accessToken,
  createWorld,
  granted,
  isSettled,
  issuerTimeoutMs,
  rejectsWith,
  settle,
} from './support.ts'

const unusable = 4_000
const never = () => new Promise<never>(() => {})
const exchange: TokenTarget = {
  key: 'exchange audience=api',
  grant: 'exchange',
  parameters: { audience: 'api' },
}

/** The outcomes of requests that wait for one renewal until their timeout. */
async function outcomes(world: ReturnType<typeof createWorld>, requests: Promise<unknown>[]) {
  const settled = Promise.allSettled(requests)
  await settle()
  await world.clock.advance(issuerTimeoutMs)
  return (await settled).map((result) =>
    result.status === 'fulfilled'
      ? 'token'
      : result.reason instanceof StoreUnavailableError
        ? 'store'
        : result.reason.code,
  )
}

for (const command of ['lock', 'read', 'replace', 'release']) {
  test(`requests delayed by a store that does not answer ${command} get the store's error`, async () => {
    const world = createWorld()
    const session = await world.signIn(unusable)
    world.interceptStore(command, never)
    const renewer = world.startGateway()

    const requests = [0, 1, 2].map(() => renewer.withUsableToken(session, world.logger))
    assert.deepEqual(await outcomes(world, requests), ['store', 'store', 'store'])
  })
}

test("requests delayed by the issuer get the issuer's error", async () => {
  const world = createWorld()
  const session = await world.signIn(unusable)
  world.issuer.hold()
  const renewer = world.startGateway()

  const requests = [0, 1].map(() => renewer.withUsableToken(session, world.logger))
  const elsewhere = world.startGateway().withUsableToken(session, world.logger)
  const unavailable = 'BFF_ISSUER_UNAVAILABLE'
  assert.deepEqual(await outcomes(world, [...requests, elsewhere]), [unavailable, unavailable, unavailable])
})

test("a token exchange that waits for the session's renewal reports that renewal's cause", async () => {
  for (const [waitFor, expected] of [
    ['store', 'store'],
    ['issuer', 'BFF_ISSUER_UNAVAILABLE'],
  ]) {
    const world = createWorld()
    const session = await world.signIn(unusable)
    if (waitFor === 'store') world.interceptStore('lock', never)
    else world.issuer.hold()
    const renewer = world.startGateway()

    const requests = [0, 1].map(() => renewer.withUsableToken(session, world.logger, exchange))
    assert.deepEqual(await outcomes(world, requests), [expected, expected])
  }
})

test('a store that was slow before the grant is not blamed when the issuer does not answer', async () => {
  const world = createWorld()
  const session = await world.signIn(unusable)
  const lock = Promise.withResolvers<void>()
  world.interceptStore('lock', async (run) => {
    await lock.promise
    return run()
  })
  const answer = world.issuer.hold()
  const renewer = world.startGateway()
  const waiting = rejectsWith(renewer.withUsableToken(session, world.logger), 'BFF_ISSUER_UNAVAILABLE')
  await settle()
  await world.clock.advance(2_000)
  lock.resolve()
  await settle()
  await world.clock.advance(issuerTimeoutMs)
  await waiting
  answer(granted('late'))
  await renewer.idle()
})

test('a request waits for store and issuer in turn, each for its own timeout', async () => {
  const storeTimeoutMs = 8_000
  const world = createWorld()
  const session = await world.signIn(unusable)
  const lock = Promise.withResolvers<void>()
  world.interceptStore('lock', async (run) => {
    await lock.promise
    return run()
  })
  const answer = world.issuer.hold()
  const renewer = world.startGateway(noMetrics, { storeTimeoutMs })
  const first = renewer.withUsableToken(session, world.logger)
  await settle()
  await world.clock.advance(storeTimeoutMs - 1_000)
  // Started later, so the store has delayed it for one second only.
  const second = renewer.withUsableToken(session, world.logger)
  await settle()
  await world.clock.advance(900)
  lock.resolve()
  await settle()
  await world.clock.advance(issuerTimeoutMs - 100)
  assert.equal(await isSettled(first), false)

  answer(granted('new'))
  for (const request of [first, second]) assert.equal(accessToken(await request), 'access-new')
})

test('a store that takes longer than STORE_TIMEOUT in total is reported as the cause', async () => {
  const storeTimeoutMs = 2_000
  const world = createWorld()
  const session = await world.signIn(unusable)
  const answer = world.issuer.hold()
  const renewer = world.startGateway(noMetrics, { storeTimeoutMs })
  const requests = [0, 1].map(() => renewer.withUsableToken(session, world.logger))
  await settle()
  await world.clock.advance(issuerTimeoutMs - 1_000)
  world.interceptStore('replace', never)
  answer(granted('new'))
  await settle()
  await world.clock.advance(storeTimeoutMs - 1)
  for (const request of requests) assert.equal(await isSettled(request), false)
  const settled = Promise.allSettled(requests)
  await world.clock.advance(20)
  for (const result of await settled)
    assert.ok(result.status === 'rejected' && result.reason instanceof StoreUnavailableError)
})

test('a closing gateway waits for two renewals under way, whichever ends first', async () => {
  const world = createWorld()
  const [first, second] = [await world.signIn(unusable), await world.signIn(unusable)]
  const answers = [world.issuer.hold(), world.issuer.hold()]
  const renewer = world.startGateway()
  const waiting = [first, second].map((session) => renewer.withUsableToken(session, world.logger))
  await settle()
  let isIdle = false
  const idle = renewer.idle().then(() => {
    isIdle = true
  })

  answers[1]?.(granted('second'))
  await settle()
  assert.equal(isIdle, false)
  answers[0]?.(granted('first'))
  await idle
  await Promise.all(waiting)
  for (const [session, token] of [
    [first, 'access-first'],
    [second, 'access-second'],
  ] as const)
    assert.equal((await world.sessions.reload(session))?.record.tokenSet.accessToken, token)
})
