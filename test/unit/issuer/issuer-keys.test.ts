import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { listen, stop } from '../../../demo/listen.ts'
import { createKeySet } from '../../../plugins/issuer/issuer-keys.ts'
import { checkSignature } from '../../../plugins/issuer/verify-jwt.ts'

const issuer = new URL('https://login.example.com')

test("accepted signature algorithms are the issuer's asymmetric ones, or RS256 if its metadata name none", () => {
  const keysOf = createKeySet({ issuer, timeoutMs: 1000 }, 0)
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
  const options = { issuer: loopback, timeoutMs: 200 }

  await assert.rejects(checkSignature(token, createKeySet(options, 0)(metadata)), {
    code: 'ERR_JWKS_TIMEOUT',
  })
  requests = 0
  await checkSignature(token, createKeySet(options, 0, 20)(metadata))
  assert.ok(requests > 1)
})

test('the algorithm that is named is the only one, and one with the client secret needs no key of the issuer', async () => {
  const metadata = { issuer: issuer.href, id_token_signing_alg_values_supported: ['RS256', 'ES256', 'HS256'] }
  assert.deepEqual(createKeySet({ issuer, timeoutMs: 1000, idTokenAlg: 'ES256' }, 0)(metadata).algorithms, [
    'ES256',
  ])
  const clientSecret = 'a secret of the client'
  const keys = createKeySet({ issuer, timeoutMs: 1000, idTokenAlg: 'HS256', clientSecret }, 0)(metadata)
  const sign = (secret: string, alg = 'HS256') =>
    new SignJWT({}).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret))
  await checkSignature(await sign(clientSecret), keys)
  await assert.rejects(sign('another secret').then((token) => checkSignature(token, keys)))
  await assert.rejects(sign(clientSecret, 'HS512').then((token) => checkSignature(token, keys)))
})

test('of several keys each is tried where the token names none, and a foreign one is refused', async (t) => {
  const pairs = await Promise.all([1, 2, 3].map(() => generateKeyPair('ES256')))
  const jwks = { keys: await Promise.all(pairs.map(({ publicKey }) => exportJWK(publicKey))) }
  const server = createServer((_request, response) => response.end(JSON.stringify(jwks)))
  const loopback = new URL(`http://127.0.0.1:${await listen(server, 0)}`)
  t.after(() => stop(server))
  const metadata = {
    issuer: loopback.href,
    jwks_uri: loopback.href,
    id_token_signing_alg_values_supported: ['ES256'],
  }
  const keys = createKeySet({ issuer: loopback, timeoutMs: 1000 }, 0)(metadata)
  const signed = (key: CryptoKey) => new SignJWT({}).setProtectedHeader({ alg: 'ES256' }).sign(key)
  for (const { privateKey } of pairs) await checkSignature(await signed(privateKey), keys)
  const foreign = await generateKeyPair('ES256')
  await assert.rejects(checkSignature(await signed(foreign.privateKey), keys), {
    code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  })
})
