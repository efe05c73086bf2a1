import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDpopKey } from '../../../plugins/issuer/dpop/key.ts'
import { createSentTokens } from '../../../plugins/tokens/token-headers.ts'
import { createRemedies } from '../../../plugins/upstream/remedy.ts'

const sent = createSentTokens({ now: () => 0 })
const bearer = sent({ accessToken: 'at', tokenType: 'Bearer', obtainedAt: 0 })
const bound = sent({ accessToken: 'at', tokenType: 'DPoP', dpopKey: createDpopKey('ES256'), obtainedAt: 0 })

const wantsNonce = { 'www-authenticate': 'DPoP error="use_dpop_nonce", algs="ES256"', 'dpop-nonce': 'n' }

test('an API that wants a nonce in the proof gets the same token with the nonce, and that once', () => {
  const remedyFor = createRemedies()
  assert.equal(remedyFor(bound, wantsNonce), 'nonce')
  assert.equal(remedyFor(bound, wantsNonce), undefined)
  assert.equal(remedyFor(bound, { 'www-authenticate': 'DPoP error="invalid_token"' }), 'token')
  assert.equal(remedyFor(bound, {}), undefined)
})

test('another token is no remedy for what a 401 says about proof or login', () => {
  const { 'dpop-nonce': _, ...withoutNonce } = wantsNonce
  const dead = ['invalid_dpop_proof', 'insufficient_user_authentication'].map((error) => ({
    'www-authenticate': [`Basic realm="x"`, `DPoP error="${error}"`],
  }))
  for (const headers of [withoutNonce, ...dead]) assert.equal(createRemedies()(bound, headers), undefined)
  assert.equal(createRemedies()(bearer, wantsNonce), undefined)
})

test('any other 401 is about the token, if one was sent', () => {
  for (const headers of [{}, { 'www-authenticate': 'Bearer error="invalid_token"' }, { 'dpop-nonce': 'n' }]) {
    assert.equal(createRemedies()(bearer, headers), 'token')
    assert.equal(createRemedies()(bound, headers), 'token')
    assert.equal(createRemedies()(null, headers), undefined)
  }
})
