import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createKeySet } from '../../../plugins/issuer/issuer-keys.ts'

const issuer = new URL('https://login.example.com')

test('an issuer signs with what it says that it does, but for what anybody could, and else with RS256', () => {
  const keysOf = createKeySet({ issuer, clientId: 'gateway', timeoutMs: 1000 }, 0)
  const algorithmsOf = (supported: unknown) => {
    const metadata = { issuer: issuer.href, id_token_signing_alg_values_supported: supported as string[] }
    return keysOf(metadata).algorithms
  }
  assert.deepEqual(algorithmsOf(['none', 'HS256', 'ES256', 'EdDSA']), ['ES256', 'EdDSA'])
  for (const unsaid of [undefined, null, 'ES256']) assert.deepEqual(algorithmsOf(unsaid), ['RS256'])
})
