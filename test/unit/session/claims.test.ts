import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claimList, userClaims } from '../../../plugins/session/claims.ts'

test("a frontend sees the user's claims, not the protocol's", () => {
  const { iss, aud, azp, exp, iat, nbf, jti, nonce, at_hash, c_hash, s_hash, ...user } = {
    ...{ iss: 'i', aud: 'a', azp: 'a', exp: 1, iat: 1, nbf: 1, jti: 'j', nonce: 'n' },
    ...{ at_hash: 'h', c_hash: 'h', s_hash: 'h' },
    ...{ sub: 'alice', name: 'Alice', auth_time: 1, acr: 'high', amr: ['pwd'], sid: 's' },
  }
  const protocol = { iss, aud, azp, exp, iat, nbf, jti, nonce, at_hash, c_hash, s_hash }
  assert.deepEqual(userClaims({ ...protocol, ...user }), user)
})

test('each claim is one entry with a string value', () => {
  assert.deepEqual(claimList({ name: 'Alice', email_verified: false, updated_at: 1_700_000_000 }), [
    { type: 'name', value: 'Alice' },
    { type: 'email_verified', value: 'false' },
    { type: 'updated_at', value: '1700000000' },
  ])
})

test('a claim with several plain values is repeated', () => {
  assert.deepEqual(claimList({ roles: ['a', 2, true, null] }), [
    { type: 'roles', value: 'a' },
    { type: 'roles', value: '2' },
    { type: 'roles', value: 'true' },
  ])
})

test('objects and arrays of objects are JSON text; null and empty values are left out', () => {
  const claims = { address: { city: 'X' }, a: null, b: undefined, c: [], d: [1, { e: 1 }], f: [['g']] }
  assert.deepEqual(claimList(claims), [
    { type: 'address', value: '{"city":"X"}' },
    { type: 'd', value: '[1,{"e":1}]' },
    { type: 'f', value: '[["g"]]' },
  ])
})

const distributed = {
  _claim_names: { payment_info: 'src1' },
  _claim_sources: { src1: { endpoint: 'https://bank.example.com', access_token: 'ksj3n283dke' } },
}

test('distributed claims and other members that hold tokens are dropped, at any depth', () => {
  const claims = {
    ...distributed,
    name: 'Alice',
    nested: { more: [{ ...distributed, city: 'X' }] },
    identities: [{ provider: 'x', access_token: 't', refreshToken: 't', id_token: 't' }],
    access_token: 't',
  }
  assert.deepEqual(userClaims(claims), {
    name: 'Alice',
    nested: { more: [{ city: 'X' }] },
    identities: [{ provider: 'x' }],
  })
  assert.doesNotMatch(JSON.stringify(claimList(claims)), /_claim_|ksj3n283dke|access_token/)
})

test("a claim that repeats one of the login's tokens is dropped", () => {
  const claims = { name: 'Alice', a: 'the-token', b: ['x', 'Bearer the-token'], c: { d: 'the-token' } }
  assert.deepEqual(userClaims(claims, ['the-token']), { name: 'Alice', b: ['x'], c: {} })
})

test('a token in the name of a claim, or percent-encoded in a URL, is dropped too', () => {
  const token = 'opaque+token/1='
  const claims = { sub: 'alice', [token]: true, link: `https://x.example/?t=${encodeURIComponent(token)}` }
  assert.deepEqual(userClaims(claims, [token]), { sub: 'alice' })
})

for (const token of ['', '1', 'alice'])
  test(`a token as short as "${token}" drops no claim that only happens to contain it`, () => {
    const claims = { name: 'Alice 1', email: 'alice@example.com', birthdate: '2001-01-01' }
    assert.deepEqual(userClaims(claims, [token]), claims)
    if (token !== '') assert.deepEqual(userClaims({ ...claims, copy: token }, [token]), claims)
  })

test("the issuer's claims can not imitate the gateway's own", () => {
  assert.deepEqual(claimList({ 'bff:logout_url': 'https://evil.example', sub: 'alice' }), [
    { type: 'sub', value: 'alice' },
  ])
})
