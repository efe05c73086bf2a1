import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GrantOutcome } from '../../../plugins/issuer/grants.ts'
import { createWorld, granted, refused, rejectsWith, settle } from './support.ts'

const usable = 50_000
const unusable = 5_000

test('a renewal that finishes after logout does not bring the session back, and its refresh token is revoked', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  await sessions.end(session)
  answer(granted('late'))

  await rejectsWith(waiting, 'BFF_SESSION_REQUIRED')
  assert.equal(await sessions.reload(session), undefined)
  assert.deepEqual(issuer.revoked, ['refresh-late'])
})

test('a background renewal that finishes after logout does not bring the session back either', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(usable)
  const answer = issuer.hold()
  const renewer = startGateway()
  await renewer.withUsableToken(session, logger)
  await settle()
  await sessions.end(session)
  answer(granted('late'))
  await renewer.idle()

  assert.equal(await sessions.reload(session), undefined)
  assert.deepEqual(issuer.revoked, ['refresh-late'])
})

test('a session that was logged out before its renewal spends no refresh token', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(unusable)
  await sessions.end(session)
  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_REQUIRED')
  assert.deepEqual(issuer.spent, [])
})

test('a session that was logged out while its refresh token was refused is not reported as ended again', async () => {
  const { startGateway, signIn, issuer, logger, log, sessions } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  const waiting = rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
  await settle()
  await sessions.end(session)
  answer(refused)

  await waiting
  assert.ok(!log.some(({ fields }) => fields['event'] === 'session.ended'))
})

test('a failing revocation does not matter to a session that has ended', async () => {
  const { startGateway, signIn, issuer, logger, sessions, log } = createWorld()
  const session = await signIn(unusable)
  const answer = issuer.hold()
  issuer.revocation = () => Promise.reject(new Error('on purpose'))
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  await sessions.end(session)
  answer(granted('late'))

  await rejectsWith(waiting, 'BFF_SESSION_REQUIRED')
  assert.ok(log.some(({ fields }) => fields['event'] === 'token.revocation.failed'))
})

test('tokens are revoked if their retried write finds that the session is gone', async () => {
  const { startGateway, signIn, issuer, logger, sessions, memory, clock, loseAnswers, mendStore } =
    createWorld()
  const session = await signIn(unusable)
  loseAnswers('replace')
  const waiting = startGateway().withUsableToken(session, logger)
  await settle()
  await memory.destroy(session.id)
  mendStore('replace')
  const ended = rejectsWith(waiting, 'BFF_SESSION_REQUIRED')
  await clock.advance(1_000)

  await ended
  assert.equal(await sessions.reload(session), undefined)
  assert.deepEqual(issuer.revoked, ['refresh-1'])
})

/** The issuer's answer had an access token that can't be used. */
const unusableAnswer: GrantOutcome = {
  outcome: 'failed',
  reason: 'token_not_bound',
  refreshToken: 'refresh-late',
}

test('the refresh token of an answer whose access token is unusable is kept, also over an outage of the store', async () => {
  const { startGateway, signIn, issuer, logger, sessions, breakStore, mendStore, clock } = createWorld()
  const session = await signIn(usable)
  issuer.answers.push(unusableAnswer)
  breakStore('replace')
  const renewer = startGateway()
  await renewer.withUsableToken(session, logger)
  await settle()
  mendStore('replace')
  await clock.advance(1000)
  await renewer.idle()

  const { tokenSet, renewals } = (await sessions.reload(session))?.record ?? {}
  assert.equal(tokenSet?.refreshToken, 'refresh-late')
  assert.equal(tokenSet.accessToken, session.record.tokenSet.accessToken)
  assert.equal(renewals, 0)
})

test('the refresh token of such an answer is revoked when the user has logged out meanwhile', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(usable)
  const answer = issuer.hold()
  const renewer = startGateway()
  await renewer.withUsableToken(session, logger)
  await settle()
  await sessions.end(session)
  answer(unusableAnswer)
  await renewer.idle()

  assert.equal(await sessions.reload(session), undefined)
  assert.deepEqual(issuer.revoked, ['refresh-late'])
})
