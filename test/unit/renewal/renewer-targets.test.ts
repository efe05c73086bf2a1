import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type TokenTarget, tokenTarget } from '../../../plugins/issuer/token-set.ts'
import type { Session } from '../../../plugins/session/session.ts'
import {
  accessToken,
  createWorld,
  failed,
  granted,
  isSettled,
  lifetimeMs,
  refused,
  rejectsWith,
  settle,
} from './support.ts'

const fresh = 200_000
const orders = targetOf({ resource: 'https://orders.example' })
const stock = targetOf({ audience: 'stock', exchange: true })
const declined = { ...failed('invalid_target'), requestSpecific: true } as const

test("a token for one API is granted on first use, without changing the session's own", async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(fresh)
  const renewed = await startGateway().withUsableToken(session, logger, orders)
  assert.equal(apiToken(renewed, orders), 'access-1')
  assert.equal(accessToken(renewed), 'access-0')
  assert.equal(renewed.record.tokenSet.refreshToken, 'refresh-1')
  assert.deepEqual(issuer.spent, ['refresh-0'])
  assert.deepEqual(issuer.parameters, [{ resource: 'https://orders.example' }])
})

test('parallel grants for several APIs on several gateways spend the refresh tokens one after the other', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(0)
  const gateways = [startGateway(), startGateway()]
  const asked = gateways.flatMap((gateway) =>
    [undefined, orders].map((target) => gateway.withUsableToken(session, logger, target)),
  )
  await Promise.all(asked)
  assert.deepEqual(issuer.spent, ['refresh-0', 'refresh-1'])
  const current = await sessions.reload(session)
  assert.deepEqual([accessToken(current), apiToken(current, orders)].sort(), ['access-1', 'access-2'])
})

test('a token for one API is renewed early, in the background', async () => {
  const { startGateway, signIn, issuer, logger, clock, sessions } = createWorld()
  const gateway = startGateway()
  const session = await gateway.withUsableToken(await signIn(2 * lifetimeMs), logger, orders)
  await clock.advance(lifetimeMs - 30_000)
  const answer = issuer.hold()
  assert.equal(apiToken(await gateway.withUsableToken(session, logger, orders), orders), 'access-1')
  answer(granted('later'))
  await gateway.idle()
  assert.equal(apiToken(await sessions.reload(session), orders), 'access-later')
})

test('after a declined grant for one API that API backs off, and the others do not wait', async () => {
  const { startGateway, signIn, issuer, logger, log, clock } = createWorld()
  const gateway = startGateway()
  const session = await signIn(0)
  issuer.answers.push(declined)
  for (let i = 0; i < 3; i++) {
    const error = await rejectsWith(
      gateway.withUsableToken(session, logger, orders),
      'BFF_ISSUER_UNAVAILABLE',
    )
    assert.equal(error.retryAfterMs, 30_000)
  }
  assert.equal(issuer.spent.length, 1)
  assert.equal(accessToken(await gateway.withUsableToken(session, logger)), 'access-1')
  const warning = log.find(({ level }) => level === 'warn')
  assert.partialDeepStrictEqual(warning?.fields, { reason: 'invalid_target', target: orders.key })

  await clock.advance(30_000)
  assert.equal(apiToken(await gateway.withUsableToken(session, logger, orders), orders), 'access-2')
})

test('a failing issuer backs off for all APIs', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(0)
  issuer.answers.push(failed('http_503'))
  await rejectsWith(startGateway().withUsableToken(session, logger, orders), 'BFF_ISSUER_UNAVAILABLE')
  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_ISSUER_UNAVAILABLE')
  assert.equal(issuer.spent.length, 1)
})

test("invalid_grant for one API's token ends the session, as the refresh token is the session's", async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(fresh)
  issuer.answers.push(refused)
  await rejectsWith(startGateway().withUsableToken(session, logger, orders), 'BFF_SESSION_ENDED')
  assert.equal(await sessions.reload(session), undefined)
})

test('a session without a refresh token gets no tokens for single APIs, but stays', async () => {
  const { startGateway, signIn, logger, memory, sessions } = createWorld()
  const session = await signIn(fresh)
  const { refreshToken: _, ...tokenSet } = session.record.tokenSet
  await memory.destroy(session.id)
  const without = (await sessions.create({ ...session.record, tokenSet })).session
  await rejectsWith(startGateway().withUsableToken(without, logger, orders), 'BFF_ISSUER_UNAVAILABLE')
  assert.ok(await sessions.reload(without))
})

test('a session without a refresh token ends for single APIs too when its own token has expired', async () => {
  const { startGateway, signIn, logger, clock, memory, sessions } = createWorld()
  const session = await signIn(fresh)
  const { refreshToken: _, ...tokenSet } = session.record.tokenSet
  await memory.destroy(session.id)
  const without = (await sessions.create({ ...session.record, tokenSet })).session
  await clock.advance(fresh)
  await rejectsWith(startGateway().withUsableToken(without, logger, orders), 'BFF_SESSION_ENDED')
  assert.equal(await sessions.reload(without), undefined)
})

test('a late token for one API is stored beside newer tokens stored by others', async () => {
  const { startGateway, signIn, issuer, logger, clock, sessions } = createWorld()
  const session = await signIn(0)
  const answer = issuer.hold()
  const late = startGateway().withUsableToken(session, logger, orders)
  late.catch(() => {})
  await settle()
  // Its lock expires.
  await clock.advance(15_000)
  await startGateway().withUsableToken(session, logger)
  answer(granted('late'))
  await settle()
  const current = await sessions.reload(session)
  assert.equal(apiToken(current, orders), 'access-late')
  assert.equal(current?.record.tokenSet.refreshToken, 'refresh-1')
})

test("a token exchange uses the session's access token, renewed first if necessary", async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const renewed = await startGateway().withUsableToken(await signIn(0), logger, stock)
  assert.deepEqual(issuer.spent, ['refresh-0', 'access-1'])
  assert.equal(apiToken(renewed, stock), 'access-2')
  assert.equal(renewed.record.tokenSet.refreshToken, 'refresh-1')
})

test('a declined token exchange does not affect the session', async () => {
  const { startGateway, signIn, issuer, logger, sessions } = createWorld()
  const session = await signIn(fresh)
  issuer.answers.push(declined)
  await rejectsWith(startGateway().withUsableToken(session, logger, stock), 'BFF_ISSUER_UNAVAILABLE')
  assert.ok(await sessions.reload(session))
})

test("when an API refuses its token that token is renewed, not the session's own", async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const gateway = startGateway()
  const session = await gateway.withUsableToken(await signIn(fresh), logger, orders)
  const renewed = await gateway.forceRenewal(session, 'orders', logger, orders)
  assert.equal(apiToken(renewed, orders), 'access-2')
  assert.equal(accessToken(renewed), 'access-0')
  assert.equal(issuer.spent.length, 2)
})

test('forced renewals are limited per kind of token', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const gateway = startGateway()
  const session = await gateway.withUsableToken(await signIn(fresh), logger, orders)
  const renewed = await gateway.forceRenewal(session, 'application', logger, orders)
  assert.equal(apiToken(renewed, orders), 'access-2')
  assert.equal(accessToken(await gateway.forceRenewal(session, 'application', logger)), 'access-3')
  assert.equal(await gateway.forceRenewal(renewed ?? session, 'application', logger, orders), undefined)
  assert.equal(issuer.spent.length, 3)
})

test('a request waits for a token for one API no longer than for any other', async () => {
  const { startGateway, signIn, issuer, logger, clock } = createWorld()
  issuer.hold()
  const waiting = startGateway().withUsableToken(await signIn(fresh), logger, orders)
  assert.equal(await isSettled(waiting), false)
  const rejected = rejectsWith(waiting, 'BFF_ISSUER_UNAVAILABLE')
  await clock.advance(5_000)
  await rejected
})

function targetOf(wanted: Parameters<typeof tokenTarget>[0]): TokenTarget {
  return tokenTarget(wanted) ?? assert.fail('No target')
}

function apiToken(session: Session | undefined, { key }: TokenTarget): string | undefined {
  return session?.record.apiTokens?.[key]?.accessToken
}

test('an expired token for one API that can not be renewed ends no session', async () => {
  const { startGateway, signIn, logger, sessions, clock } = createWorld()
  const session = await signIn(10 * fresh)
  const renewed = await startGateway().withUsableToken(session, logger, orders)
  const { refreshToken: _, ...tokenSet } = renewed.record.tokenSet
  await sessions.prepareWrite(renewed, { ...renewed.record, tokenSet })()
  await clock.advance(lifetimeMs)
  const read = (await sessions.reload(session)) ?? assert.fail()

  await rejectsWith(startGateway().withUsableToken(read, logger, orders), 'BFF_ISSUER_UNAVAILABLE')
  assert.ok(await sessions.reload(session))
})
