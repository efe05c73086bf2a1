import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { listen, stop } from '../../../demo/listen.ts'
import { checkSignature, createKeySet } from '../../../plugins/issuer/issuer-keys.ts'

const issuer = new URL('https://login.example.com')

test("accepted signature algorithms are the issuer's asymmetric ones, or RS256 if its metadata name none", () => {
  const keysOf = createKeySet({ issuer, clientId: 'gateway', timeoutMs: 1000, userinfo: true }, 0)
  const algorithmsOf = (supported: unknown) => {
    const metadata = { issuer: issuer.href, id_token_signing_alg_values_supported: supported as string[] }
    return keysOf(metadata).algorithms
  }
  assert.deepEqual(algorithmsOf(['none', 'HS256', 'ES256', 'EdDSA']), ['ES256', 'EdDSA'])
  for (const unsaid of [undefined, null, 'ES256']) assert.deepEqual(algorithmsOf(unsaid), ['RS256'])
})

test('keys that do not arrive in time are requested again for a token that is sent only once', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const keySet = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }] })
  let requests = 0
  const server = createServer((_request, response) => {
    if (++requests > 1) response.end(keySet)
  })
  const port = await listen(server, 0)
  t.after(() => stop(server))
  const loopback = new URL(`http://127.0.0.1:${port}`)
  const metadata = {
    issuer: loopback.href,
    jwks_uri: loopback.href,
    id_token_signing_alg_values_supported: ['ES256'],
  }
  const token = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'k' }).sign(privateKey)
  const options = { issuer: loopback, clientId: 'gateway', timeoutMs: 200, userinfo: true }

  await assert.rejects(checkSignature(token, createKeySet(options, 0)(metadata)), {
    code: 'ERR_JWKS_TIMEOUT',
  })
  requests = 0
  await checkSignature(token, createKeySet(options, 0, 20)(metadata))
  assert.ok(requests > 1)
})
