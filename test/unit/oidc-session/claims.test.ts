import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claimList, withoutProtocolClaims } from '../../../plugins/oidc-session/claims.ts'

test('a frontend sees the user, not the protocol', () => {
  const { iss, aud, azp, exp, iat, nbf, jti, nonce, at_hash, c_hash, s_hash, ...user } = {
    ...{ iss: 'i', aud: 'a', azp: 'a', exp: 1, iat: 1, nbf: 1, jti: 'j', nonce: 'n' },
    ...{ at_hash: 'h', c_hash: 'h', s_hash: 'h' },
    ...{ sub: 'alice', name: 'Alice', auth_time: 1, acr: 'high', amr: ['pwd'], sid: 's' },
  }
  const protocol = { iss, aud, azp, exp, iat, nbf, jti, nonce, at_hash, c_hash, s_hash }
  assert.deepEqual(withoutProtocolClaims({ ...protocol, ...user }), user)
})

test('each claim is one entry, with its own type of value', () => {
  assert.deepEqual(claimList({ name: 'Alice', email_verified: false, level: 0 }), [
    { type: 'name', value: 'Alice' },
    { type: 'email_verified', value: false },
    { type: 'level', value: 0 },
  ])
})

test('a claim with several values is repeated', () => {
  assert.deepEqual(claimList({ roles: ['a', 'b'] }), [
    { type: 'roles', value: 'a' },
    { type: 'roles', value: 'b' },
  ])
})

test('an object is given as JSON text, nothing as no entry', () => {
  assert.deepEqual(claimList({ address: { city: 'X' }, a: null, b: undefined, c: [], d: [null, { e: 1 }] }), [
    { type: 'address', value: '{"city":"X"}' },
    { type: 'd', value: '{"e":1}' },
  ])
})
