import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, type KeyPairKeyObjectResult } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { jwtVerify } from 'jose'
import {
  type ClientCredentials,
  clientAuthentication,
} from '../../../plugins/issuer/client-authentication.ts'

const issuer = 'https://login.example.com'

/** The authentication that the gateway sends with a grant to an issuer that supports these methods. */
async function sent(credentials: ClientCredentials, supported?: string[]) {
  const authenticate = await clientAuthentication(credentials)
  const body = new URLSearchParams()
  const headers = new Headers()
  const server = { issuer, ...(supported && { token_endpoint_auth_methods_supported: supported }) }
  await authenticate(server, { client_id: 'gateway' }, body, headers)
  return { body: Object.fromEntries(body), authorization: headers.get('authorization') }
}

const basic = `Basic ${Buffer.from('gateway:s%3Acret').toString('base64')}`

test('a secret is sent in the Authorization header, unless the issuer accepts it only in the body', async () => {
  const inHeader = { body: {}, authorization: basic }
  const inBody = { body: { client_id: 'gateway', client_secret: 's:cret' }, authorization: null }
  const credentials = { clientSecret: 's:cret' }

  assert.deepEqual(await sent(credentials), inHeader)
  assert.deepEqual(await sent(credentials, ['client_secret_basic']), inHeader)
  assert.deepEqual(await sent(credentials, ['client_secret_post', 'client_secret_basic']), inHeader)
  assert.deepEqual(await sent(credentials, ['private_key_jwt']), inHeader)
  assert.deepEqual(await sent(credentials, ['client_secret_post']), inBody)
  assert.deepEqual(await sent(credentials, ['client_secret_post', 'private_key_jwt']), inBody)
})

test('without a secret or key only client_id is sent', async () => {
  assert.deepEqual(await sent({}), { body: { client_id: 'gateway' }, authorization: null })
})

const keys: [name: string, pair: KeyPairKeyObjectResult, alg: string][] = [
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }), 'RS256'],
  ['EC P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'ES256'],
  ['EC P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'ES384'],
  ['EC P-521', generateKeyPairSync('ec', { namedCurve: 'P-521' }), 'ES512'],
  ['Ed25519', generateKeyPairSync('ed25519') as unknown as KeyPairKeyObjectResult, 'Ed25519'],
]
for (const [name, { privateKey, publicKey }, alg] of keys)
  test(`an ${name} key signs a client assertion with its own algorithm, from a JWK and from PEM`, async (t) => {
    const pem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }))
    for (const content of [jwkOf(privateKey), pem]) {
      const { body, authorization } = await sent({ clientPrivateKeyFile: fileOf(t, content) })

      assert.equal(authorization, null)
      assert.equal(body['client_assertion_type'], 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
      const options = { issuer: 'gateway', subject: 'gateway', audience: issuer, algorithms: [alg] }
      const { payload } = await jwtVerify(body['client_assertion'] ?? '', publicKey, options)
      assert.ok(payload.jti)
    }
  })

test('the private key of a JWKS signs the client assertion, with its own kid and alg', async (t) => {
  const [[, rsa], [, ec]] = keys as [(typeof keys)[0], (typeof keys)[1]]
  const jwk = { ...JSON.parse(jwkOf(rsa.privateKey)), kid: 'mine', alg: 'PS256' }
  const content = JSON.stringify({ keys: [JSON.parse(jwkOf(ec.publicKey)), jwk] })

  const { body } = await sent({ clientPrivateKeyFile: fileOf(t, content) })

  const { protectedHeader } = await jwtVerify(body['client_assertion'] ?? '', rsa.publicKey)
  assert.deepEqual([protectedHeader.kid, protectedHeader.alg], ['mine', 'PS256'])
})

test('a file without a private key is an error that quotes none of its content', async (t) => {
  const [[, { publicKey }]] = keys as [(typeof keys)[0]]
  for (const content of [jwkOf(publicKey), `{"keys":[${jwkOf(publicKey)}]}`, '{"keys":[]}']) {
    await assert.rejects(sent({ clientPrivateKeyFile: fileOf(t, content) }), /holds no private key/)
  }
})

function jwkOf(key: KeyObject): string {
  return JSON.stringify(key.export({ format: 'jwk' }))
}

function fileOf(t: TestContext, content: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-key-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'key'), content)
  return join(folder, 'key')
}
