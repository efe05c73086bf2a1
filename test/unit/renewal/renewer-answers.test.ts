import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GrantedTokens } from '../../../plugins/issuer/token-set.ts'
import { createWorld, granted, idToken, isSettled, lifetimeMs, rejectsWith, settle } from './support.ts'

const unusable = 5_000
const oldIdToken = idToken({ nonce: 'from the login' })

async function renewWith(tokens: GrantedTokens) {
  const world = createWorld()
  const session = await world.signIn(unusable, { idToken: oldIdToken, scope: 'openid' })
  world.issuer.answers.push({ outcome: 'granted', tokens })
  const renewed = await world.startGateway().withUsableToken(session, world.logger)
  assert.deepEqual((await world.sessions.reload(session))?.record, renewed.record)
  return { ...world, session, tokenSet: renewed.record.tokenSet, record: renewed.record }
}

test('a renewal keeps what the issuer omits: refresh token, ID token and scope', async () => {
  const { tokenSet } = await renewWith({ accessToken: 'new', tokenType: 'Bearer', expiresInMs: lifetimeMs })
  assert.equal(tokenSet.accessToken, 'new')
  assert.equal(tokenSet.refreshToken, 'refresh-0')
  assert.equal(tokenSet.idToken, oldIdToken)
  assert.equal(tokenSet.scope, 'openid')
})

test('a renewal stores what the issuer sends', async () => {
  const newIdToken = idToken({ auth_time: 1 })
  const { tokenSet, record, clock } = await renewWith({
    accessToken: 'new',
    tokenType: 'Bearer',
    refreshToken: 'new refresh',
    idToken: newIdToken,
    scope: 'openid email',
  })
  assert.equal(tokenSet.refreshToken, 'new refresh')
  assert.equal(tokenSet.idToken, newIdToken)
  assert.equal(tokenSet.scope, 'openid email')
  assert.equal(record.renewals, 1)
  assert.equal(record.renewedAt, clock.now())
})

test('without expires_in the exp of a JWT access token is used', async () => {
  const exp = Date.UTC(2026, 0, 2) / 1000
  const { tokenSet } = await renewWith({ accessToken: idToken({ exp }), tokenType: 'Bearer' })
  assert.equal(tokenSet.expiresAt, exp * 1000)
})

test('a granted token without any expiry is used without further renewals', async () => {
  const { tokenSet, startGateway, sessions, session, logger, clock, issuer } = await renewWith({
    accessToken: 'opaque',
    tokenType: 'Bearer',
  })
  assert.equal(tokenSet.expiresAt, undefined)
  await clock.advance(3_600_000)
  const stored = await sessions.reload(session)
  assert.ok(stored)
  await startGateway().withUsableToken(stored, logger)
  assert.equal(issuer.spent.length, 1)
})

const foreign = {
  'another issuer': idToken({ iss: 'https://evil.example' }),
  'another user': idToken({ sub: 'bob' }),
  'another audience': idToken({ aud: 'another client' }),
  'an unknown format': 'garbage',
}
for (const [whose, foreignIdToken] of Object.entries(foreign)) {
  test(`an ID token of ${whose} ends the session, and the tokens that came with it are revoked`, async () => {
    const { startGateway, signIn, issuer, logger, sessions } = createWorld()
    const session = await signIn(unusable)
    issuer.answers.push(granted('foreign', { idToken: foreignIdToken }))

    const error = await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
    assert.equal(error.statusCode, 401)
    assert.equal(await sessions.reload(session), undefined)
    assert.deepEqual(issuer.revoked, ['refresh-foreign', 'access-foreign'])
  })
}

test('foreign tokens are never stored', async () => {
  const { startGateway, signIn, issuer, logger, interceptStore } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(granted('foreign', { idToken: idToken({ sub: 'bob' }) }))
  let stored = 0
  interceptStore('replace', (run) => {
    stored++
    return run()
  })

  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
  assert.equal(stored, 0)
})

test('a foreign ID token without a new refresh token revokes the old one', async () => {
  const { startGateway, signIn, issuer, logger } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push({
    outcome: 'granted',
    tokens: { accessToken: 'access-foreign', tokenType: 'Bearer', idToken: idToken({ sub: 'bob' }) },
  })
  await rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
  assert.deepEqual(issuer.revoked, ['refresh-0', 'access-foreign'])
})

test('a foreign ID token ends the session even if the store fails at first and revocation fails', async () => {
  const { startGateway, signIn, issuer, logger, sessions, clock, breakStore, mendStore } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(granted('foreign', { idToken: idToken({ sub: 'bob' }) }))
  issuer.revocation = () => Promise.reject(new Error('on purpose'))
  breakStore('destroy')
  const ended = rejectsWith(startGateway().withUsableToken(session, logger), 'BFF_SESSION_ENDED')
  await settle()
  assert.ok(await sessions.reload(session))

  mendStore('destroy')
  await clock.advance(1_000)
  await ended
  assert.equal(await sessions.reload(session), undefined)
})

test('foreign tokens are revoked at once, though the store does not let the session end', async () => {
  const { startGateway, signIn, issuer, logger, clock, breakStore } = createWorld()
  const session = await signIn(unusable)
  issuer.answers.push(granted('foreign', { idToken: idToken({ sub: 'bob' }) }))
  breakStore('destroy')
  const gateway = startGateway()
  const failed = assert.rejects(gateway.withUsableToken(session, logger))
  await settle()

  assert.deepEqual(issuer.revoked, ['refresh-foreign', 'access-foreign'])
  await clock.advance(120_000)
  await failed
  await gateway.idle()
})

test('only a store that is unavailable is tried again with new tokens, any other error is thrown at once', async () => {
  const { startGateway, signIn, logger, interceptStore } = createWorld()
  const session = await signIn(unusable)
  interceptStore('replace', () => Promise.reject(new TypeError('on purpose')))
  const failing = assert.rejects(startGateway().withUsableToken(session, logger), /on purpose/)
  assert.equal(await isSettled(failing), true)
})
