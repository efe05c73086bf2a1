import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  accessToken,
  createWorld,
  granted,
  isSettled,
  lifetimeMs,
  refreshBeforeExpirationMs,
  settle,
} from './support.ts'

const usable = refreshBeforeExpirationMs - 1_000
const unusable = 5_000

test('before the renewal window the token is used, without calling store or issuer', async () => {
  const { startGateway, signIn, issuer, logger, breakStore } = createWorld()
  const session = await signIn(refreshBeforeExpirationMs + 1)
  for (const command of ['read', 'lock']) breakStore(command)
  const renewer = startGateway()

  assert.equal(await renewer.withUsableToken(session, logger), session)
  await renewer.idle()
  assert.deepEqual(issuer.spent, [])
})

test('inside the renewal window no request waits: the current token is used while one renewal runs', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(usable)
  const answer = issuer.hold()
  const renewer = startGateway()

  for (let request = 0; request < 50; request++)
    assert.equal(accessToken(await renewer.withUsableToken(session, logger)), 'access-0')
  await settle()
  assert.deepEqual(issuer.spent, ['refresh-0'])

  answer(granted('new'))
  await renewer.idle()
  assert.equal(accessToken(await sessions.reload(session)), 'access-new')
})

test('requests wait for the renewal of a token that is no longer usable', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const waiting = startGateway().withUsableToken(session, logger)
  assert.equal(await isSettled(waiting), false)

  answer(granted('new'))
  assert.equal(accessToken(await waiting), 'access-new')
})

test('fifty parallel requests on each of four gateways renew the token once', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const gateways = Array.from({ length: 4 }, () => startGateway())
  const requests = gateways.flatMap((renewer) =>
    Array.from({ length: 50 }, () => renewer.withUsableToken(session, logger)),
  )
  await settle()
  answer(granted('new'))

  assert.deepEqual(new Set((await Promise.all(requests)).map(accessToken)), new Set(['access-new']))
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('sessions are renewed in parallel, each with its own tokens', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const slow = await signIn(unusable, { refreshToken: 'refresh-slow' })
  const quick = await signIn(unusable, { refreshToken: 'refresh-quick' })
  const renewer = startGateway()
  const answer = issuer.hold()
  const waiting = renewer.withUsableToken(slow, logger)
  await settle()

  issuer.answers.push(granted('of-quick'))
  assert.equal(accessToken(await renewer.withUsableToken(quick, logger)), 'access-of-quick')
  answer(granted('of-slow'))
  assert.equal(accessToken(await waiting), 'access-of-slow')
})

test('tokens that another gateway has renewed are used, without another grant', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const seen = await signIn(unusable)
  await startGateway().withUsableToken(seen, logger)

  assert.equal(accessToken(await startGateway().withUsableToken(seen, logger)), 'access-1')
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('a refresh token that another gateway has spent is never used again', async () => {
  const { startGateway, signIn, issuer, logger, clock, sessions } = createWorld()
  const session = await signIn(unusable)
  await startGateway().withUsableToken(session, logger)
  await clock.advance(lifetimeMs)

  const stored = await sessions.reload(session)
  assert.ok(stored)
  assert.equal(accessToken(await startGateway().withUsableToken(stored, logger)), 'access-2')
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-1'])
})

test('renewed tokens that have expired are renewed again rather than sent', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const seenLongAgo = await signIn(unusable)
  await startGateway().withUsableToken(seenLongAgo, logger)
  await clock.advance(lifetimeMs)

  assert.equal(accessToken(await startGateway().withUsableToken(seenLongAgo, logger)), 'access-2')
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-1'])
})

test('a token just granted is used, however short-lived it is', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  const renewer = startGateway()
  const answer = issuer.hold()
  const requests = [1, 2, 3].map(() => renewer.withUsableToken(session, logger))
  requests.push(startGateway().withUsableToken(session, logger))
  await settle()
  await clock.advance(2_000)
  answer(granted('short', { expiresInMs: 1_000 }))

  assert.deepEqual(new Set((await Promise.all(requests)).map(accessToken)), new Set(['access-short']))
  assert.deepEqual(issuer.spent, ['refresh-0'])
})

test('the lifetime of a token counts from before its request', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const requestedAt = clock.now()
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  await clock.advance(3_000)
  answer(granted('new'))

  assert.equal((await waiting).record.tokenSet.expiresAt, requestedAt + lifetimeMs)
})

test('without a refresh token the session ends when its access token has expired', async () => {
  const { startGateway, signIn, logger, clock, sessions } = createWorld()
  const { refreshToken: _, ...tokenSet } = (await signIn(1_000)).record.tokenSet
  const { session } = await sessions.create({
    issuer: 'https://issuer.example',
    subject: 'alice',
    sid: 'another sid',
    claims: {},
    tokenSet,
  })
  const renewer = startGateway()
  assert.equal(await renewer.withUsableToken(session, logger), session)
  await clock.advance(1_000)

  await assert.rejects(renewer.withUsableToken(session, logger), {
    code: 'BFF_SESSION_ENDED',
    statusCode: 401,
  })
  assert.equal(await sessions.reload(session), undefined)
})

test('an expired token that can not be renewed is replaced by one that was stored meanwhile', async () => {
  const { startGateway, signIn, logger, sessions, clock } = createWorld()
  const session = await signIn(-1)
  const { refreshToken: _, ...tokenSet } = session.record.tokenSet
  const seen = { ...session, record: { ...session.record, tokenSet } }
  const newer = { ...tokenSet, accessToken: 'newer', expiresAt: clock.now() + lifetimeMs }
  await sessions.prepareWrite(session, { ...session.record, tokenSet: newer, renewals: 1 })()
  assert.equal(accessToken(await startGateway().withUsableToken(seen, logger)), 'newer')
})
