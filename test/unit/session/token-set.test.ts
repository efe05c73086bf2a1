import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UnsecuredJWT } from 'jose'
import { type TokenSet, tokenSetFrom } from '../../../plugins/issuer/token-set.ts'

const granted = { accessToken: 'new', tokenType: 'Bearer' }
const previous: TokenSet = {
  accessToken: 'old',
  tokenType: 'Bearer',
  obtainedAt: 1000,
  expiresAt: 31_000,
  refreshToken: 'old refresh token',
  idToken: 'old ID token',
  scope: 'openid time:read',
}
const requestedAt = 50_000

test('the lifetime counts from when the grant was requested, not from when its answer was read', () => {
  const { obtainedAt, expiresAt } = tokenSetFrom({ ...granted, expiresInMs: 30_000 }, requestedAt)
  assert.equal(obtainedAt, requestedAt)
  assert.equal(expiresAt, requestedAt + 30_000)
})

test('a refresh keeps what it omits: refresh token, ID token, scope', () => {
  const renewed = tokenSetFrom({ ...granted, expiresInMs: 30_000 }, requestedAt, previous)
  assert.deepEqual(renewed, {
    ...previous,
    accessToken: 'new',
    obtainedAt: requestedAt,
    expiresAt: requestedAt + 30_000,
  })
})

test('a refresh replaces what it sends', () => {
  const all = { ...granted, refreshToken: 'new refresh token', idToken: 'new ID token', scope: 'openid' }
  const { refreshToken, idToken, scope } = tokenSetFrom(all, requestedAt, previous)
  assert.deepEqual(
    { refreshToken, idToken, scope },
    {
      refreshToken: all.refreshToken,
      idToken: all.idToken,
      scope: all.scope,
    },
  )
})

test('the lifetime of the old token is never used for the new one', () => {
  assert.ok(!('expiresAt' in tokenSetFrom(granted, requestedAt, previous)))
})

test('without expires_in the exp of a JWT access token is used', () => {
  const accessToken = new UnsecuredJWT({}).setExpirationTime(90).encode()
  assert.equal(tokenSetFrom({ ...granted, accessToken }, requestedAt).expiresAt, 90_000)
})

test('expires_in takes precedence over the exp of a JWT', () => {
  const accessToken = new UnsecuredJWT({}).setExpirationTime(90).encode()
  const { expiresAt } = tokenSetFrom({ ...granted, accessToken, expiresInMs: 1000 }, requestedAt)
  assert.equal(expiresAt, requestedAt + 1000)
})

test('an expires_in of zero is an expiry, not a missing value', () => {
  assert.equal(tokenSetFrom({ ...granted, expiresInMs: 0 }, requestedAt).expiresAt, requestedAt)
})

test('a token without expiry information has no expiry', () => {
  for (const accessToken of ['opaque', 'a.b.c', new UnsecuredJWT({}).encode()]) {
    assert.ok(!('expiresAt' in tokenSetFrom({ ...granted, accessToken }, requestedAt)), accessToken)
  }
})

test('an exp that is no number is ignored', () => {
  for (const exp of ['soon', null, {}]) {
    const payload = Buffer.from(JSON.stringify({ exp })).toString('base64url')
    const { expiresAt } = tokenSetFrom({ ...granted, accessToken: `e30.${payload}.` }, requestedAt)
    assert.equal(expiresAt, undefined, JSON.stringify(exp))
  }
})

test('a lifetime beyond the range of dates is ignored', () => {
  const never = { ...granted, expiresInMs: Number.MAX_SAFE_INTEGER * 1000 }
  assert.ok(!('expiresAt' in tokenSetFrom(never, requestedAt)))

  const accessToken = new UnsecuredJWT({ exp: Number.MAX_SAFE_INTEGER }).encode()
  assert.ok(!('expiresAt' in tokenSetFrom({ ...granted, accessToken }, requestedAt)))
})
