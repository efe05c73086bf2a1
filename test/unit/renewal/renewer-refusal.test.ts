import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  accessToken,
  createWorld,
  failed,
  granted,
  lifetimeMs,
  refreshBeforeExpirationMs,
  refused,
  rejectsWith,
  settle,
} from './support.ts'

const fresh = lifetimeMs

test('a token that an upstream refuses is renewed although it has not expired', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(fresh)
  assert.equal(accessToken(await startGateway().forceRenewal(session, 'api', logger)), 'access-1')
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('requests refused at the same time share one forced renewal, over all gateways', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(fresh)
  const answer = issuer.hold()
  const gateways = [startGateway(), startGateway()]
  const requests = gateways.flatMap((renewer) =>
    Array.from({ length: 10 }, () => renewer.forceRenewal(session, 'api', logger)),
  )
  await settle()
  answer(granted('new'))

  assert.deepEqual(new Set((await Promise.all(requests)).map(accessToken)), new Set(['access-new']))
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('a refused token that has been replaced meanwhile is not renewed again', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(fresh)
  await startGateway().forceRenewal(session, 'api', logger)

  assert.equal(accessToken(await startGateway().forceRenewal(session, 'another api', logger)), 'access-1')
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('if the newer token has expired too, it is renewed rather than replayed', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(fresh)
  await startGateway().forceRenewal(session, 'api', logger)
  await clock.advance(lifetimeMs)

  assert.equal(accessToken(await startGateway().forceRenewal(session, 'api', logger)), 'access-2')
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-1'])
})

test('an upstream that refuses every token costs one forced renewal per REFRESH_BEFORE_EXPIRATION', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  let session = await signIn(fresh)
  const renewer = startGateway()
  session = (await renewer.forceRenewal(session, 'api', logger)) ?? session
  for (let request = 0; request < 10; request++)
    assert.equal(await renewer.forceRenewal(session, 'api', logger), undefined)
  await clock.advance(refreshBeforeExpirationMs - 1)
  assert.equal(await startGateway().forceRenewal(session, 'api', logger), undefined)
  assert.deepEqual(issuer.spent, ['refresh-0'])

  await clock.advance(1)
  assert.equal(accessToken(await renewer.forceRenewal(session, 'api', logger)), 'access-2')
})

test('forced renewals are limited per upstream and session', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(fresh)
  const other = await signIn(fresh, { refreshToken: 'refresh-other' })
  const renewer = startGateway()
  const renewed = await renewer.forceRenewal(session, 'api', logger)
  assert.ok(renewed)
  assert.equal(accessToken(await renewer.forceRenewal(renewed, 'another api', logger)), 'access-2')
  assert.equal(accessToken(await renewer.forceRenewal(other, 'api', logger)), 'access-3')
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-1', 'refresh-other'])
})

test('a renewal that is due does not count as a forced one', async () => {
  const { startGateway, signIn, logger } = createWorld()
  const session = await signIn(1_000)
  const renewer = startGateway()
  const renewed = await renewer.withUsableToken(session, logger)
  assert.equal(accessToken(await renewer.forceRenewal(renewed, 'api', logger)), 'access-2')
})

test('a request that needs a token gets one although the forced renewal that it joined was not permitted', async () => {
  const { startGateway, signIn, issuer, logger, interceptStore, clock } = createWorld()
  const session = await signIn(fresh)
  const renewer = startGateway()
  const renewed = await renewer.forceRenewal(session, 'api', logger)
  assert.ok(renewed)
  const { expiresAt = 0 } = renewed.record.tokenSet
  const asking = Promise.withResolvers<void>()
  interceptStore('addMarker', async () => {
    await asking.promise
    return false
  })
  await clock.advance(expiresAt - clock.now())
  const refusal = renewer.forceRenewal(renewed, 'api', logger)
  const request = renewer.withUsableToken(renewed, logger)
  await settle()
  asking.resolve()

  assert.equal(await refusal, undefined)
  assert.equal(accessToken(await request), 'access-2')
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-1'])
})

test('a permit for a forced renewal is not lost when the gateway freezes before using it', async () => {
  const { startGateway, signIn, issuer, logger, interceptStore, clock } = createWorld()
  const session = await signIn(fresh)
  const frozen = Promise.withResolvers<void>()
  interceptStore('addMarker', async (run) => {
    const claimed = await run()
    await frozen.promise
    return claimed
  })
  const refusal = startGateway().forceRenewal(session, 'api', logger)
  await settle()
  await clock.advance(4_000)
  frozen.resolve()

  assert.equal(accessToken(await refusal), 'access-1')
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('without a refresh token a forced renewal gives no token', async () => {
  const { startGateway, signIn, logger, issuer } = createWorld()
  const session = await signIn(fresh)
  const { refreshToken: _, ...tokenSet } = session.record.tokenSet
  const bare = { ...session, record: { ...session.record, tokenSet } }
  assert.equal(await startGateway().forceRenewal(bare, 'api', logger), undefined)
  assert.deepEqual(issuer.spent, [])
})

test('while issuer or store fail a forced renewal gives no token, and the session stays', async () => {
  const { startGateway, signIn, issuer, logger, sessions, breakStore } = createWorld()
  const session = await signIn(fresh)
  const renewer = startGateway()
  issuer.answers.push(failed('http_503'))
  assert.equal(await renewer.forceRenewal(session, 'api', logger), undefined)
  assert.equal(await renewer.forceRenewal(session, 'another api', logger), undefined)
  assert.deepEqual(issuer.spent, ['refresh-0'])

  for (const command of ['lock', 'read', 'addMarker']) {
    breakStore(command)
    assert.equal(await startGateway().forceRenewal(session, `api ${command}`, logger), undefined)
  }
  assert.ok(await sessions.reload(session))
})

test('a forced renewal that the issuer refuses ends the session', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(fresh)
  issuer.answers.push(refused)
  await rejectsWith(startGateway().forceRenewal(session, 'api', logger), 'BFF_SESSION_ENDED')
  assert.equal(await sessions.reload(session), undefined)
})

test('after a refusal a session that was logged out meanwhile is not renewed', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(fresh)
  await sessions.end(session)
  await rejectsWith(startGateway().forceRenewal(session, 'api', logger), 'BFF_SESSION_REQUIRED')
  assert.deepEqual(issuer.spent, [])
})

test('a refused renewal is repeated if only the refresh token was replaced meanwhile, for another API', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(fresh)
  const refuse = issuer.hold()
  const renewed = startGateway().forceRenewal(session, 'api', logger)
  await settle()
  const tokenSet = { ...session.record.tokenSet, refreshToken: 'refresh-newer' }
  await sessions.prepareWrite(session, { ...session.record, tokenSet })()
  refuse(refused)

  assert.equal(accessToken(await renewed), 'access-1')
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-newer'])
})
