import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EmbeddedJWK, jwtVerify } from 'jose'
import { createDpopKey, type DpopAlgorithm, publicKey } from '../../../plugins/issuer/dpop/key.ts'
import {
  bareToken,
  createSentTokens,
  keepNonce,
  type SentToken,
  tokenHeaders,
} from '../../../plugins/tokens/token-headers.ts'

const now = Date.parse('2026-12-01T12:00:00.999Z')
const sent = createSentTokens({ now: () => now })
const server = 'https://api.example/'
const request = { method: 'POST', url: 'https://api.example/orders%2F1?page=1', server }

function bound(alg: DpopAlgorithm = 'ES256') {
  const dpopKey = createDpopKey(alg)
  return { dpopKey, token: sent({ accessToken: 'at', tokenType: 'DPoP', dpopKey, obtainedAt: 0 }) }
}

async function proofOf(token: SentToken, about = request) {
  const { authorization, dpop = '' } = tokenHeaders(token, about)
  assert.equal(authorization, 'DPoP at')
  return jwtVerify(dpop, EmbeddedJWK, { typ: 'dpop+jwt', currentDate: new Date(now) })
}

test('a bearer token has no proof, and there are no headers without a token', () => {
  const bearer = sent({ accessToken: 'at', tokenType: 'Bearer', obtainedAt: 0 })
  assert.deepEqual(tokenHeaders(bearer, request), { authorization: 'Bearer at' })
  assert.deepEqual(tokenHeaders(null, request), {})
  keepNonce(bearer, server, 'n')
  keepNonce(null, server, 'n')
})

test('a token that is bound to a key is sent with a proof of the request, signed with that key', async () => {
  for (const alg of ['ES256', 'Ed25519', 'EdDSA', 'ES384', 'ES512'] as const) {
    const { dpopKey, token } = bound(alg)
    const { payload, protectedHeader } = await proofOf(token)
    assert.deepEqual(protectedHeader, { typ: 'dpop+jwt', alg, jwk: publicKey(dpopKey) })
    const { jti, ...claims } = payload
    assert.match(String(jti), /^[\da-f-]{36}$/)
    assert.deepEqual(claims, {
      htm: 'POST',
      htu: 'https://api.example/orders%2F1',
      iat: Math.floor(now / 1000),
      // SHA-256 of `at`.
      ath: 'sda5G2fCr6XjIpiNlGJjjTVN34oe9526mH-BXCK0uu4',
    })
  }
})

test('each proof has an identifier of its own', async () => {
  const { token } = bound()
  const proofs = await Promise.all([proofOf(token), proofOf(token)])
  assert.equal(new Set(proofs.map(({ payload }) => payload.jti)).size, 2)
})

test('the latest nonce of a server is in the proofs for that server, whatever the token', async () => {
  const nonceOf = async (about = request) => (await proofOf(bound().token, about)).payload['nonce']
  keepNonce(bound().token, server, 'first')
  assert.equal(await nonceOf(), 'first')
  keepNonce(bound().token, server, 'second')
  keepNonce(bound().token, server, undefined)
  assert.equal(await nonceOf(), 'second')
  assert.equal(await nonceOf({ ...request, server: 'https://other.example/' }), undefined)
})

test('a nonce that is malformed or very long is ignored', async () => {
  const { token } = bound()
  keepNonce(token, server, 'good')
  for (const bad of ['', 'with space', 'quote"', 'caf\xe9', 'x'.repeat(1025), ['a', 'b']])
    keepNonce(token, server, bad)
  assert.equal((await proofOf(token)).payload['nonce'], 'good')
})

test('a bound token whose key is unknown is not sent', () =>
  assert.throws(() => sent({ accessToken: 'at', tokenType: 'DPoP', obtainedAt: 0 }), {
    code: 'BFF_ISSUER_UNAVAILABLE',
  }))

test('an application is never given a token that it could not send', () => {
  assert.equal(bareToken(sent({ accessToken: 'at', tokenType: 'Bearer', obtainedAt: 0 })), 'at')
  assert.throws(() => bareToken(bound().token), TypeError)
})
