import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreUnavailableError } from '../../../plugins/session-store/store.ts'
import { renewedRecord } from '../../support/renewed-record.ts'
import {
  accessToken,
  createWorld,
  failed,
  freezeHolder,
  granted,
  isSettled,
  issuerTimeoutMs,
  rejectsWith,
  settle,
} from './support.ts'

const usable = 50_000
const unusable = 5_000

test('a late answer is stored, although the waiting requests got 503 at the timeout', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const renewer = startGateway()
  const waiting = renewer.withUsableToken(session, logger)
  await settle()
  await clock.advance(issuerTimeoutMs - 1)
  assert.equal(await isSettled(waiting), false)
  const late = rejectsWith(waiting, 'BFF_ISSUER_UNAVAILABLE')
  await clock.advance(1)
  assert.equal((await late).retryAfterMs, 1_000)

  await clock.advance(7_000)
  answer(granted('late'))
  await renewer.idle()
  assert.equal(accessToken(await sessions.reload(session)), 'access-late')
})

test('each request has its own timeout, and those still waiting get the late answer', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const renewer = startGateway()
  const first = rejectsWith(renewer.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  await settle()
  await clock.advance(3_000)
  const second = renewer.withUsableToken(session, logger)
  await settle()
  await clock.advance(2_000)
  await first

  answer(granted('late'))
  assert.equal(accessToken(await second), 'access-late')
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('an answer that is in the socket at the timeout is not late', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  // As after a stall: the timer fires first, and the answer is read in the same turn of the event loop.
  clock.advance(issuerTimeoutMs)
  setImmediate(() => answer(granted('new')))

  assert.equal(accessToken(await waiting), 'access-new')
})

test('a refresh token that may have been spent is tried again only after the back-off', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const renewer = startGateway()
  const late = rejectsWith(renewer.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  await settle()
  await clock.advance(12_500)
  await late
  answer(failed('OAUTH_TIMEOUT'))
  await renewer.idle()
  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  assert.deepEqual(issuer.spent, ['refresh-0'])

  await clock.advance(1_000)
  assert.equal(accessToken(await startGateway().withUsableToken(session, logger)), 'access-1')
})

test('the lock lives three times as long as a request waits for the issuer', async () => {
  const { startGateway, signIn, issuer, logger, memory } = createWorld()
  const session = await signIn(usable)
  const answer = issuer.hold()
  const renewer = startGateway()
  await renewer.withUsableToken(session, logger)
  await settle()
  assert.deepEqual(await memory.lock(session.id, 1), { outcome: 'held', expiresInMs: 3 * issuerTimeoutMs })

  answer(granted('new'))
  await renewer.idle()
  assert.equal((await memory.lock(session.id, 1)).outcome, 'acquired')
})

test('no request goes on waiting after a renewal has ended', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const requests = [startGateway(), startGateway()].map((renewer) => renewer.withUsableToken(session, logger))
  await settle()
  answer(granted('new'))
  await Promise.all(requests)
  assert.equal(clock.sleeping, 0)
})

test('when the lock holder has died, others get 503 until its lock has expired, and then renew', async () => {
  const { startGateway, signIn, issuer, logger, clock, memory } = createWorld()
  const session = await signIn(unusable)
  await memory.lock(session.id, 3 * issuerTimeoutMs)
  const renewer = startGateway()
  for (let seconds = 0; seconds < 10; seconds += 5) {
    const waiting = rejectsWith(renewer.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
    await settle()
    await clock.advance(5_000)
    await waiting
  }
  assert.deepEqual(issuer.spent, [])

  const waiting = renewer.withUsableToken(session, logger)
  await settle()
  await clock.advance(5_000)
  assert.equal(accessToken(await waiting), 'access-1')
})

test('when the lock holder has died, requests with a usable token are served', async () => {
  const { startGateway, signIn, logger, memory, issuer } = createWorld()
  const session = await signIn(usable)
  await memory.lock(session.id, 3 * issuerTimeoutMs)
  assert.equal(accessToken(await startGateway().withUsableToken(session, logger)), 'access-0')
  await settle()
  assert.deepEqual(issuer.spent, [])
})

test('a gateway that was frozen between lock and grant starts no grant that could outlast its lock', async () => {
  const { startGateway, signIn, issuer, logger, clock, interceptStore, mendStore, memory } = createWorld()
  const session = await signIn(unusable)
  const frozen = Promise.withResolvers<void>()
  interceptStore('read', async (run) => {
    await frozen.promise
    return run()
  })
  const answer = issuer.hold()
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  await clock.advance(2_501)
  mendStore('read')
  frozen.resolve()
  await settle()

  assert.deepEqual(issuer.spent, ['refresh-0'])
  const lock = await memory.lock(session.id, 1)
  assert.ok(lock.outcome === 'held')
  assert.ok(lock.expiresInMs >= 2.5 * issuerTimeoutMs)
  answer(granted('new'))
  assert.equal(accessToken(await waiting), 'access-new')
})

test('waiters are notified at once that another gateway has renewed', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const there = startGateway().withUsableToken(session, logger)
  await settle()
  const here = startGateway().withUsableToken(session, logger)
  await settle()
  answer(granted('new'))

  await there
  assert.equal(accessToken(await here), 'access-new')
})

test('waiters poll, so they notice a renewal whose notification was lost', async () => {
  const { startGateway, signIn, logger, memory, sessions, clock, interceptStore } = createWorld()
  const session = await signIn(unusable)
  await memory.lock(session.id, 3 * issuerTimeoutMs)
  interceptStore('changed', () => new Promise(() => {}))
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  const newer = { ...session.record.tokenSet, accessToken: 'newer', expiresAt: clock.now() + 300_000 }
  await sessions.prepareWrite(session, renewedRecord(session, newer, clock.now()))()
  assert.equal(await isSettled(waiting), false)

  await clock.advance(500)
  assert.equal(accessToken(await waiting), 'newer')
})

test('new tokens are not used before they are stored, and the store is tried again for at least 30 s', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock, breakStore, mendStore } = createWorld()
  const session = await signIn(unusable)
  breakStore('replace')
  const renewer = startGateway()
  // The issuer has answered: waiting requests get the store's error.
  const late = assert.rejects(renewer.withUsableToken(session, logger), StoreUnavailableError)
  await settle()
  await clock.advance(30_000)
  await late
  assert.equal(accessToken(await sessions.reload(session)), 'access-0')
  const waiting = renewer.withUsableToken(session, logger)
  await settle()
  mendStore('replace')
  await clock.advance(1_000)

  assert.equal(accessToken(await waiting), 'access-1')
  assert.equal(accessToken(await sessions.reload(session)), 'access-1')
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('the lock is kept while new tokens can not be stored, so that the old refresh token is not spent again', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock, breakStore, mendStore } = createWorld()
  const session = await signIn(unusable)
  breakStore('replace')
  const [holder, other] = [startGateway(), startGateway()]
  holder.withUsableToken(session, logger).catch(() => {})
  await settle()
  for (let seconds = 0; seconds < 45; seconds++) {
    if (seconds % 10 === 0) other.withUsableToken(session, logger).catch(() => {})
    await settle()
    await clock.advance(1_000)
  }

  mendStore('replace')
  await clock.advance(1_000)
  await settle()

  assert.deepEqual(issuer.spent, ['refresh-0'])
  assert.equal(accessToken(await sessions.reload(session)), 'access-1')
})

test("just after the store has recovered, requests that wait for its head start get the store's error", async () => {
  const { startGateway, signIn, issuer, logger, clock, interceptStore } = createWorld()
  const session = await signIn(unusable)
  interceptStore('lock', async () => ({ outcome: 'recovering', expiresInMs: 3_000 }))
  const late = assert.rejects(startGateway().withUsableToken(session, logger), StoreUnavailableError)
  for (let seconds = 0; seconds < 10; seconds++) {
    await settle()
    await clock.advance(1_000)
  }
  await late
  assert.deepEqual(issuer.spent, [])
})

test('while new tokens can not be stored the old one is used if it is usable', async () => {
  const { startGateway, signIn, issuer, logger, clock, breakStore } = createWorld()
  const session = await signIn(usable)
  breakStore('replace')
  const renewer = startGateway()
  for (let seconds = 0; seconds < 30; seconds++) {
    assert.equal(accessToken(await renewer.withUsableToken(session, logger)), 'access-0')
    await settle()
    await clock.advance(1_000)
  }
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('a write that succeeded although its answer was lost is recognised as our own', async () => {
  const { startGateway, signIn, issuer, logger, clock, memory, loseAnswers, mendStore } = createWorld()
  const session = await signIn(unusable)
  loseAnswers('replace')
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  mendStore('replace')
  await clock.advance(1_000)

  assert.equal(accessToken(await waiting), 'access-1')
  assert.equal((await memory.read(session.id))?.version, 2)
  assert.deepEqual([issuer.spent, issuer.revoked], [['refresh-0'], []])
})

test('tokens superseded by another holder are dropped without revocation, which might revoke the newer ones', async () => {
  const world = createWorld()
  const { startGateway, signIn, issuer, logger, sessions } = world
  const session = await signIn(unusable)
  const { frozen, answer: toFrozen } = await freezeHolder(world, session)
  await startGateway().withUsableToken(session, logger)
  toFrozen(granted('overtaken'))
  await frozen.idle()

  assert.equal(accessToken(await sessions.reload(session)), 'access-1')
  assert.deepEqual(issuer.revoked, [])
})

test('a new refresh token is kept although a holder with an expired lock stored tokens without one meanwhile', async () => {
  const world = createWorld()
  const { startGateway, signIn, issuer, logger, sessions } = world
  const session = await signIn(unusable)
  const { frozen, answer: toFrozen } = await freezeHolder(world, session)
  const toNext = issuer.hold()
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  const unrotated = { accessToken: 'unrotated', tokenType: 'Bearer', expiresInMs: 300_000 }
  toFrozen({ outcome: 'granted', tokens: unrotated })
  await frozen.idle()
  assert.equal(accessToken(await sessions.reload(session)), 'unrotated')
  toNext(granted('rotated'))

  assert.equal(accessToken(await waiting), 'access-rotated')
  const stored = await sessions.reload(session)
  assert.equal(stored?.record.tokenSet.refreshToken, 'refresh-rotated')
  assert.equal(stored?.version, 3)
})

test('a closing gateway waits for the renewals under way', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(usable)
  const answer = issuer.hold()
  const renewer = startGateway()
  await renewer.withUsableToken(session, logger)
  await settle()
  const closing = renewer.idle()
  assert.equal(await isSettled(closing), false)

  answer(granted('new'))
  await closing
  assert.equal(accessToken(await sessions.reload(session)), 'access-new')
})
