import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bindSession } from '../../../plugins/session/device-binding/bind-session.ts'
import type { BoundDevice } from '../../../plugins/session/device-key.ts'
import { sessionRecord } from '../../../plugins/session/session-record.ts'
import { createWorld, granted, settle } from '../renewal/support.ts'

const device: BoundDevice = { key: { alg: 'ES256', x: 'x', y: 'y' }, boundAt: 1 }
const other: BoundDevice = { key: { alg: 'ES256', x: 'other', y: 'y' }, boundAt: 2 }

for (const [how, tokens] of [
  ['rotates the refresh token', {}],
  ['keeps the refresh token', { refreshToken: undefined }],
] as const) {
  test(`a session that is bound while its tokens are renewed keeps both, where the issuer ${how}`, async () => {
    const { startGateway, signIn, issuer, logger, sessions } = createWorld()
    const session = await signIn(5000)
    const answer = issuer.hold()
    const waiting = startGateway().withUsableToken(session, logger)
    await settle()
    const bound = await bindSession(sessions, session, device)
    assert.ok(bound && bound !== 'bound-before')
    const renewed = granted('new')
    if (renewed.outcome === 'granted' && 'refreshToken' in tokens) delete renewed.tokens.refreshToken
    answer(renewed)

    assert.equal((await waiting).record.tokenSet.accessToken, 'access-new')
    const stored = (await sessions.reload(session))?.record
    assert.deepEqual(stored?.device, device)
    assert.equal(stored?.tokenSet.accessToken, 'access-new')
    assert.equal(stored?.renewals, 1)
  })
}

test('a session that was renewed since it was read is bound with its new tokens', async () => {
  const { startGateway, signIn, logger, sessions } = createWorld()
  const session = await signIn(5000)
  const renewed = await startGateway().withUsableToken(session, logger)

  const bound = await bindSession(sessions, session, device)
  assert.ok(bound && bound !== 'bound-before')
  assert.deepEqual(bound.record, { ...renewed.record, device })
})

test('of two registrations at once one binds the session', async () => {
  const { signIn, sessions } = createWorld()
  const session = await signIn(50_000)

  const outcomes = await Promise.all([
    bindSession(sessions, session, device),
    bindSession(sessions, session, other),
  ])
  assert.equal(outcomes.filter((outcome) => outcome === 'bound-before').length, 1)
  assert.equal(await bindSession(sessions, session, other), 'bound-before')
})

test('a session that has ended is not bound', async () => {
  const { signIn, sessions } = createWorld()
  const session = await signIn(50_000)
  await sessions.end(session)

  assert.equal(await bindSession(sessions, session, device), undefined)
  assert.equal(await sessions.reload(session), undefined)
})

test('a record without a device is read as before, and one with an unknown kind of device is no session', async () => {
  const { signIn } = createWorld()
  const { record } = await signIn(50_000)

  assert.deepEqual(sessionRecord(record), record)
  assert.ok(sessionRecord({ ...record, device }))
  for (const unknown of [null, 'x', {}, { ...device, key: { alg: 'EdDSA', x: 'x' } }, { key: device.key }])
    assert.equal(sessionRecord({ ...record, device: unknown }), undefined)
})
