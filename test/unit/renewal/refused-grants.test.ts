import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GrantOutcome } from '../../../plugins/issuer/grants.ts'
import type { TokenTarget } from '../../../plugins/issuer/token-set.ts'
import { type Metrics, noMetrics } from '../../../plugins/observability/metrics.ts'
import { accessToken, createWorld, failed, freezeHolder, granted, rejectsWith, settle } from './support.ts'

const expired = -1_000
const unusable = 4_000
const usable = 50_000

const invalidRequest = perhapsDead('invalid_request')
const api: TokenTarget = { key: 'refresh scope=api', grant: 'refresh', parameters: { scope: 'api' } }

function refusedBy(oauthError: string, more: object = {}): GrantOutcome {
  return { outcome: 'refused', oauthError, ...more }
}

function perhapsDead(oauthError: string): GrantOutcome {
  return { outcome: 'failed', reason: oauthError, refusal: { oauthError, errorDescription: 'of the issuer' } }
}

/** Longer than the longest back-off. */
const laterMs = 60_000

test('each final refusal code ends the session, and the 401 names the code', async () => {
  for (const code of ['invalid_grant', 'interaction_required', 'mfa_required', 'access_denied']) {
    const { startGateway, signIn, issuer, logger, sessions } = createWorld()
    const session = await signIn(unusable)
    issuer.answers.push(refusedBy(code, { requestSpecific: true }))

    const error = await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
    assert.equal(error.message, 'Failed to get access token')
    assert.equal(error.details, `Token error: ${code}`)
    assert.equal(await sessions.reload(session), undefined)
  }
})

test('a refusal that concerns one API does not end the session', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(usable * 4)
  issuer.answers.push(refusedBy('consent_required', { requestSpecific: true }))

  await rejectsWith(startGateway().withUsableToken(session, logger, api), 'BFF_ISSUER_UNAVAILABLE')
  assert.ok(await sessions.reload(session))
  assert.equal(accessToken(await startGateway().withUsableToken(session, logger)), 'access-0')
})

test("invalid_grant for one API's token ends the session", async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(usable * 4)
  issuer.answers.push(refusedBy('invalid_grant'))
  await rejectsWith(startGateway().withUsableToken(session, logger, api), 'BFF_SESSION_ENDED')
  assert.equal(await sessions.reload(session), undefined)
})

test('a session whose token has expired ends with the third refusal in a row, counted over all gateways', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  const session = await signIn(expired)
  issuer.answers.push(invalidRequest, perhapsDead('token_gone'), invalidRequest)
  for (let tries = 0; tries < 2; tries++) {
    await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
    await clock.advance(laterMs)
    assert.ok(await sessions.reload(session))
  }

  const error = await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
  assert.equal(error.details, 'Token error: invalid_request')
  assert.equal(await sessions.reload(session), undefined)
})

test('refusals are counted however far apart they are', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  const session = await signIn(expired)
  issuer.answers.push(invalidRequest, invalidRequest, invalidRequest)
  for (let tries = 0; tries < 2; tries++) {
    await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
    await clock.advance(2 * 3_600_000)
  }
  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
})

test('any other failure between refusals resets the count', async () => {
  for (const other of [failed('ECONNREFUSED'), failed('http_429', 1000), failed('invalid_client')]) {
    const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
    const session = await signIn(expired)
    issuer.answers.push(invalidRequest, invalidRequest, other, invalidRequest, invalidRequest)
    for (let tries = 0; tries < 5; tries++) {
      await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
      await clock.advance(laterMs)
    }
    assert.ok(await sessions.reload(session))

    issuer.answers.push(invalidRequest)
    await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
  }
})

test('a success between refusals resets the count', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  let session = await signIn(expired)
  for (const name of ['a', 'b']) {
    issuer.answers.push(invalidRequest, invalidRequest, granted(name, { expiresInMs: 1 }))
    for (let tries = 0; tries < 2; tries++) {
      await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
      await clock.advance(laterMs)
    }
    session = await startGateway().withUsableToken(session, logger)
    assert.equal(session.record.refusals, undefined)
    await clock.advance(laterMs)
  }
  assert.ok(await sessions.reload(session))
})

test('while its access token has not expired a session survives any number of refusals, and ends after it has', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  const session = await signIn(usable)
  for (let tries = 0; tries < 5; tries++) {
    issuer.answers.push(invalidRequest)
    const renewer = startGateway()
    assert.equal(accessToken(await renewer.withUsableToken(session, logger)), 'access-0')
    await renewer.idle()
    assert.equal(issuer.spent.length, tries + 1)
    assert.ok(await sessions.reload(session))
    await clock.advance(1_000 * 2 ** tries)
  }
  await clock.advance(usable)
  issuer.answers.push(invalidRequest)
  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
})

test('refusals of a token for one API do not count for the session', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  const session = await signIn(expired)
  for (let tries = 0; tries < 4; tries++) {
    issuer.answers.push(invalidRequest)
    await rejectsWith(startGateway().withUsableToken(session, logger, api), 'BFF_ISSUER_UNAVAILABLE')
    await clock.advance(laterMs)
  }
  assert.ok(await sessions.reload(session))
})

test('a refusal that can not be stored is not counted, and the session stays', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock, breakStore, mendStore } = createWorld()
  const session = await signIn(expired)
  breakStore('replace')
  for (let tries = 0; tries < 4; tries++) {
    issuer.answers.push(invalidRequest)
    await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
    await clock.advance(laterMs)
  }
  assert.ok(await sessions.reload(session))
  mendStore('replace')
  assert.equal(accessToken(await startGateway().withUsableToken(session, logger)), 'access-1')
})

test('a third refusal does not end a session whose newer tokens were stored meanwhile', async () => {
  const world = createWorld()
  const { startGateway, signIn, issuer, logger, sessions, clock } = world
  const session = await signIn(expired)
  issuer.answers.push(invalidRequest, invalidRequest)
  for (let tries = 0; tries < 2; tries++) {
    await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
    await clock.advance(laterMs)
  }
  const { frozen, answer } = await freezeHolder(world, session)
  assert.equal(accessToken(await startGateway().withUsableToken(session, logger)), 'access-1')
  answer(invalidRequest)
  await frozen.idle()
  await settle()
  assert.equal(accessToken(await sessions.reload(session)), 'access-1')
})

test("the end of a session is logged with the issuer's error, and reported to metrics and hooks once", async () => {
  const { startGateway, signIn, issuer, logger, log } = createWorld()
  const session = await signIn(unusable)
  const refreshToken = session.record.tokenSet.refreshToken
  issuer.answers.push(refusedBy('invalid_grant', { errorDescription: `${refreshToken} was revoked` }))
  const ended: string[] = []
  const metrics: Metrics = { ...noMetrics, sessionEnded: (reason) => ended.push(reason) }

  await rejectsWith(startGateway(metrics).withUsableToken(session, logger), 'BFF_SESSION_ENDED')

  assert.deepEqual(ended, ['refused'])
  assert.deepEqual(log.slice(-2), [
    {
      level: 'warn',
      fields: { event: 'token.renewal.failed', reason: 'invalid_grant', final: true, retryInMs: null },
    },
    {
      level: 'info',
      fields: {
        event: 'session.ended',
        reason: 'refused',
        oauthError: 'invalid_grant',
        errorDescription: '… was revoked',
      },
    },
  ])
})

test('a session without a refresh token ends with a log line when its access token has expired', async () => {
  const { startGateway, signIn, logger, log, sessions } = createWorld()
  const session = await signIn(expired)
  const { refreshToken: _, ...tokenSet } = session.record.tokenSet
  const without = { ...session, record: { ...session.record, tokenSet } }

  await rejectsWith(startGateway().withUsableToken(without, logger), 'BFF_SESSION_ENDED')
  assert.equal(await sessions.reload(session), undefined)
  assert.deepEqual(log.at(-1), { level: 'info', fields: { event: 'session.ended', reason: 'expired' } })
})

test('a session that another request has just ended is not reported as ended by the refusal', async () => {
  const { startGateway, signIn, issuer, logger, memory, interceptStore } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(refusedBy('invalid_grant'))
  interceptStore('destroy', async (run) => {
    await memory.destroy(session.id)
    return run()
  })
  const ended: string[] = []
  const metrics: Metrics = { ...noMetrics, sessionEnded: (reason) => ended.push(reason) }

  await rejectsWith(startGateway(metrics).withUsableToken(session, logger), 'BFF_SESSION_ENDED')

  assert.deepEqual(ended, [])
})

test('a failure that changes no count of refusals writes nothing', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock } = createWorld()
  const session = await signIn(unusable)
  const versions: unknown[] = []
  // With the access token still valid, refusals don't end the session, however many there are.
  for (const answer of [
    failed('timeout'),
    ...Array(5).fill(invalidRequest),
    failed('timeout'),
    failed('timeout'),
  ]) {
    issuer.answers.push(answer)
    const read = (await sessions.reload(session)) ?? assert.fail()
    const tokenSet = { ...read.record.tokenSet, expiresAt: clock.now() + unusable }
    await sessions.prepareWrite(read, { ...read.record, tokenSet })()
    const before = (await sessions.reload(session)) ?? assert.fail()
    await rejectsWith(startGateway().withUsableToken(before, logger), 'BFF_ISSUER_UNAVAILABLE')
    const after = (await sessions.reload(session)) ?? assert.fail()
    versions.push(after.version - before.version)
    await clock.advance(laterMs)
  }
  assert.deepEqual(versions, [0, 1, 1, 1, 0, 0, 1, 0])
})
