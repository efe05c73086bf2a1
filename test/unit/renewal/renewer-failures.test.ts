import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renewedRecord } from '../../support/renewed-record.ts'
import {
  accessToken,
  createWorld,
  failed,
  freezeHolder,
  granted,
  refused,
  rejectsWith,
  settle,
} from './support.ts'

const usable = 50_000
const unusable = 5_000

const transient = {
  'a network failure': failed('ECONNREFUSED'),
  'a timeout': failed('OAUTH_TIMEOUT'),
  'a 500': failed('http_500'),
  'a 503': failed('http_503'),
  'an answer that is no JSON': failed('OAUTH_RESPONSE_IS_NOT_JSON'),
  invalid_client: failed('invalid_client'),
  unauthorized_client: failed('unauthorized_client'),
}

for (const [what, answer] of Object.entries(transient)) {
  test(`after ${what} the old token is used while it is usable, and the session stays`, async () => {
    const { startGateway, signIn, issuer, logger, sessions } = createWorld()
    const session = await signIn(usable)
    issuer.answers.push(answer)
    const renewer = startGateway()

    assert.equal(accessToken(await renewer.withUsableToken(session, logger)), 'access-0')
    await renewer.idle()
    assert.equal(accessToken(await renewer.withUsableToken(session, logger)), 'access-0')
    assert.equal(accessToken(await sessions.reload(session)), 'access-0')
  })

  test(`after ${what} with no usable token left the answer is 503, and the session stays`, async () => {
    const { startGateway, signIn, issuer, logger, sessions } = createWorld()
    const session = await signIn(unusable)
    issuer.answers.push(answer)

    const error = await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
    assert.equal(error.statusCode, 503)
    assert.equal(error.retryAfterMs, 1_000)
    assert.equal(accessToken(await sessions.reload(session)), 'access-0')
  })
}

test('after the back-off a failed renewal is tried again', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(failed('http_503'))
  const renewer = startGateway()
  await rejectsWith(renewer.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  await clock.advance(1_000)

  assert.equal(accessToken(await renewer.withUsableToken(session, logger)), 'access-1')
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-0'])
})

test('during the back-off no gateway calls the issuer, and each 503 says how long to wait', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(failed('http_503'))
  const gateways = [startGateway(), startGateway()]
  for (const renewer of gateways)
    await rejectsWith(renewer.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  await clock.advance(400)

  for (const renewer of gateways) {
    const error = await rejectsWith(renewer.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
    assert.equal(error.retryAfterMs, 600)
  }
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('failures in a row are counted over all gateways: the back-off doubles to 30 s', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    issuer.answers.push(failed('http_503'))
    const error = await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
    assert.equal(error.retryAfterMs, seconds * 1_000)
    await clock.advance(seconds * 1_000)
  }
})

test('after a success the next back-off starts at 1 s again', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  const renewer = startGateway()
  issuer.answers.push(failed('http_503'), granted('new', { expiresInMs: 0 }), failed('http_503'))
  await rejectsWith(renewer.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  await clock.advance(1_000)
  const renewed = await renewer.withUsableToken(session, logger)

  const error = await rejectsWith(renewer.withUsableToken(renewed, logger), 'BFF_ISSUER_UNAVAILABLE')
  assert.equal(error.retryAfterMs, 1_000)
})

test('the back-off is jittered', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld({ random: 0.8 })
  const session = await signIn(unusable)
  issuer.answers.push(failed('http_503'))
  const error = await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  assert.equal(error.retryAfterMs, 800)
})

test("a 429's Retry-After is honoured by all gateways", async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(failed('http_429', 90_000))
  const error = await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  assert.equal(error.retryAfterMs, 90_000)
  await clock.advance(89_999)
  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  assert.deepEqual(issuer.spent, ['refresh-0'])

  await clock.advance(1)
  assert.equal(accessToken(await startGateway().withUsableToken(session, logger)), 'access-1')
})

test('during the back-off requests with a usable token do not call the store', async () => {
  const { startGateway, signIn, issuer, logger, clock, interceptStore } = createWorld()
  const session = await signIn(usable)
  issuer.answers.push(failed('http_503'))
  const renewer = startGateway()
  await renewer.withUsableToken(session, logger)
  await renewer.idle()

  let asked = 0
  interceptStore('lock', (run) => {
    asked++
    return run()
  })
  await clock.advance(999)
  await renewer.withUsableToken(session, logger)
  await renewer.idle()
  assert.equal(asked, 0)

  await clock.advance(1)
  await renewer.withUsableToken(session, logger)
  await renewer.idle()
  assert.equal(issuer.spent.length, 2)
})

test('if the back-off can not be stored, the lock stays instead', async () => {
  const { startGateway, signIn, issuer, logger, clock, breakStore } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(failed('http_503'))
  breakStore('backOff')
  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')

  const waiting = rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  await settle()
  await clock.advance(5_000)
  await waiting
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('invalid_grant ends the session', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(refused)

  const error = await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
  assert.equal(error.statusCode, 401)
  assert.equal(error.message, 'Failed to get access token')
  assert.equal(error.details, 'Token error: invalid_grant')
  assert.equal(await sessions.reload(session), undefined)
})

test('invalid_grant ends the session for all waiting requests, on every gateway', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const [here, there] = [startGateway(), startGateway()]
  const requests = [here, here, here].map((renewer) => renewer.withUsableToken(session, logger))
  await settle()
  const elsewhere = there.withUsableToken(session, logger)
  await settle()
  answer(refused)

  for (const request of requests) await rejectsWith(request, 'BFF_SESSION_ENDED')
  await rejectsWith(elsewhere, 'BFF_SESSION_REQUIRED')
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('a session that ends in the background is gone for the next request', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(usable)
  issuer.answers.push(refused)
  const renewer = startGateway()
  assert.equal(accessToken(await renewer.withUsableToken(session, logger)), 'access-0')
  await renewer.idle()
  assert.equal(await sessions.reload(session), undefined)
})

test('invalid_grant does not end a session whose newer tokens were stored meanwhile', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  const newer = { ...session.record.tokenSet, accessToken: 'newer', refreshToken: 'newer' }
  await sessions.prepareWrite(session, renewedRecord(session, newer, clock.now()))()
  answer(refused)

  assert.equal(accessToken(await waiting), 'newer')
  assert.equal(accessToken(await sessions.reload(session)), 'newer')
})

test('invalid_grant that arrives after the lock has expired does not end the session', async () => {
  const world = createWorld()
  const { startGateway, signIn, issuer, logger, sessions } = world
  const session = await signIn(unusable)
  const { frozen, answer: toFrozen } = await freezeHolder(world, session)
  const toNext = issuer.hold()
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  assert.equal(issuer.spent.length, 2)

  toFrozen(refused)
  await settle()
  assert.ok(await sessions.reload(session))
  toNext(granted('new'))
  assert.equal(accessToken(await waiting), 'access-new')
  await frozen.idle()
  assert.equal(accessToken(await sessions.reload(session)), 'access-new')
})

test('if a session can not be ended, the next request tries again', async () => {
  const { startGateway, signIn, issuer, logger, sessions, breakStore, mendStore } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(refused, refused)
  breakStore('destroy')
  const renewer = startGateway()
  await assert.rejects(renewer.withUsableToken(session, logger), { code: 'STORE_UNAVAILABLE' })
  assert.ok(await sessions.reload(session))

  mendStore('destroy')
  await rejectsWith(renewer.withUsableToken(session, logger), 'BFF_SESSION_ENDED')
  assert.equal(await sessions.reload(session), undefined)
})

for (const command of ['lock', 'read']) {
  test(`a store that fails to ${command} ends no session and spends no refresh token`, async () => {
    const { startGateway, signIn, issuer, logger, breakStore, mendStore } = createWorld()
    const session = await signIn(unusable)
    const renewer = startGateway()
    breakStore(command)
    await assert.rejects(renewer.withUsableToken(session, logger), { code: 'STORE_UNAVAILABLE' })
    assert.deepEqual(issuer.spent, [])

    mendStore(command)
    assert.equal(accessToken(await renewer.withUsableToken(session, logger)), 'access-1')
  })
}

test('the refresh token of an unusable answer is stored on top of what was written meanwhile, and is the next one sent', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const renewer = startGateway()
  const waiting = rejectsWith(renewer.withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  await settle()
  // As when a device is bound.
  const written = { ...session.record, claims: { name: 'Written meanwhile' } }
  assert.equal((await sessions.prepareWrite(session, written)()).outcome, 'stored')

  answer({ outcome: 'failed', reason: 'token_not_bound', refreshToken: 'refresh-1' })
  await waiting

  assert.equal((await sessions.reload(session))?.record.claims['name'], 'Written meanwhile')
  await clock.advance(1_000)
  assert.ok(accessToken(await renewer.withUsableToken(session, logger)))
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-1'])
  assert.deepEqual(issuer.revoked, [])
})

test('the refresh token of an unusable answer replaces no newer one, and is revoked when the session has ended', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  for (const hasEnded of [false, true]) {
    const session = await signIn(unusable)
    const answer = issuer.hold()
    const waiting = startGateway().withUsableToken(session, logger)
    waiting.catch(() => {})
    await settle()
    const newer = { ...session.record.tokenSet, accessToken: 'newer', refreshToken: 'newer' }
    if (hasEnded) await sessions.end(session)
    else await sessions.prepareWrite(session, renewedRecord(session, newer, clock.now()))()

    answer({ outcome: 'failed', reason: 'token_not_bound', refreshToken: 'refresh-1' })
    await settle()

    assert.equal(
      (await sessions.reload(session))?.record.tokenSet.refreshToken,
      hasEnded ? undefined : 'newer',
    )
    assert.deepEqual(issuer.revoked, hasEnded ? ['refresh-1'] : [])
  }
})
