import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bareToken, sentToken, tokenHeaders } from '../../../plugins/tokens/token-headers.ts'

const stored = { accessToken: 'at', tokenType: 'Bearer', obtainedAt: 0 }
const request = { method: 'POST', url: 'https://api.example/orders?page=1' }

test('the headers of a bearer token are made at once, and there are none without a token', () => {
  assert.deepEqual(tokenHeaders(sentToken(stored), request), { authorization: 'Bearer at' })
  assert.deepEqual(tokenHeaders(null, request), {})
})

test('a token that is bound to a key is sent with a proof, which is made anew for each request', async () => {
  const proven: string[] = []
  const token = {
    type: 'DPoP' as const,
    value: 'at',
    proof: async ({ method, url }: typeof request) => `proof ${proven.push(`${method} ${url}`)}`,
  }
  assert.deepEqual(await tokenHeaders(token, request), { authorization: 'DPoP at', dpop: 'proof 1' })
  assert.deepEqual(await tokenHeaders(token, request), { authorization: 'DPoP at', dpop: 'proof 2' })
  assert.deepEqual(proven, Array(2).fill('POST https://api.example/orders?page=1'))
})

test('an application is never given a token that it could not send', () => {
  assert.equal(bareToken(sentToken(stored)), 'at')
  assert.throws(() => bareToken({ type: 'DPoP', value: 'at', proof: async () => 'proof' }), TypeError)
})
