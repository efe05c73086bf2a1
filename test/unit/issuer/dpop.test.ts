import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UnsecuredJWT } from 'jose'
import { compactKey, expandKey } from '../../../plugins/issuer/dpop/compact-key.ts'
import { createDpopKey, dpopAlgorithm, isDpopKey, thumbprint } from '../../../plugins/issuer/dpop/key.ts'
import { checkBinding } from '../../../plugins/issuer/grants.ts'

test('proofs are signed with ES256 unless the issuer names other algorithms', () => {
  assert.equal(dpopAlgorithm(undefined), 'ES256')
  assert.equal(dpopAlgorithm(['RS256', 'EdDSA', 'ES256']), 'ES256')
  assert.equal(dpopAlgorithm(['ES512', 'EdDSA']), 'EdDSA')
  assert.equal(dpopAlgorithm(['PS256', 'ES512']), 'ES512')
  assert.throws(() => dpopAlgorithm(['PS256']), /OIDC_DPOP: the issuer accepts proofs signed with PS256 only/)
})

test('a stored key is recognised, and what is no key is not', () => {
  for (const alg of ['ES256', 'Ed25519', 'EdDSA', 'ES384', 'ES512'] as const)
    assert.ok(isDpopKey(JSON.parse(JSON.stringify(createDpopKey(alg)))))
  const { d, ...withoutPrivatePart } = createDpopKey('ES256')
  for (const other of [undefined, null, d, {}, withoutPrivatePart, { ...withoutPrivatePart, d, alg: 'none' }])
    assert.ok(!isDpopKey(other))
})

test('a key that a login keeps in short form is the same key afterwards', () => {
  for (const alg of ['ES256', 'Ed25519', 'EdDSA', 'ES384', 'ES512'] as const)
    for (let times = 0; times < 20; times++) {
      const key = createDpopKey(alg)
      assert.deepEqual(expandKey(compactKey(key)), key)
    }
  for (const malformed of [
    '',
    'ES256',
    'ES256 ',
    'RS256 AAAA',
    'ES256 AA',
    `ES256 ${'A'.repeat(43)}`,
    'EdDSA AAAA',
  ])
    assert.throws(() => expandKey(malformed), String(malformed))
})

test('an access token must be of the kind that was requested, and bound to the right key', async () => {
  const key = createDpopKey('ES256')
  const boundTo = async (jkt: string) => new UnsecuredJWT({ cnf: { jkt } }).encode()
  const own = await boundTo(await thumbprint(key))
  const foreign = await boundTo(await thumbprint(createDpopKey('ES256')))
  const codeOf = (...binding: Parameters<typeof checkBinding>) =>
    checkBinding(...binding).then(
      () => undefined,
      (error) => error.cause.code,
    )

  assert.equal(await codeOf('opaque', 'bearer', undefined), undefined)
  assert.equal(await codeOf('opaque', 'dpop', key), undefined)
  assert.equal(await codeOf(own, 'dpop', key), undefined)
  assert.equal(await codeOf('opaque', 'dpop', undefined), 'token_is_bound')
  assert.equal(await codeOf(own, 'bearer', key), 'token_not_bound')
  assert.equal(await codeOf(foreign, 'dpop', key), 'token_of_another_key')
})
