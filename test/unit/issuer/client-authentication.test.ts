import assert from 'node:assert/strict'
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  type KeyPairKeyObjectResult,
  X509Certificate,
} from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import type { ClientAuthenticationName } from '../../../config/index.ts'
import type { ClientCredentials } from '../../../plugins/issuer/client-authentication/method.ts'
import { clientAuthentication } from '../../../plugins/issuer/client-authentication/methods.ts'
import { selfSignedCertificate } from '../../support/certificate.ts'

const issuer = 'https://login.example.com'

/** The authentication that the gateway sends with a grant to an issuer that supports these methods. */
async function sent(
  credentials: ClientCredentials,
  supported?: string[],
  wanted?: ClientAuthenticationName,
  clientId = 'gateway',
) {
  const server = {
    issuer,
    token_endpoint: `${issuer}/token`,
    ...(supported && { token_endpoint_auth_methods_supported: supported }),
  }
  const { authentication } = await clientAuthentication(credentials, server, wanted)
  const body = new URLSearchParams()
  const headers = new Headers()
  await authentication(server, { client_id: clientId }, body, headers)
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
  assert.deepEqual(await sent(credentials, ['client_secret_post']), inBody)
  assert.deepEqual(await sent(credentials, ['client_secret_post', 'private_key_jwt']), inBody)
})

test('a basic secret is encoded as a form is, so that - _ . and * stay', async () => {
  const { authorization } = await sent(
    { clientSecret: "a-_.*~!'() +/=%é" },
    undefined,
    undefined,
    'my-spa_1.x',
  )
  assert.equal(
    Buffer.from(authorization?.replace('Basic ', '') ?? '', 'base64').toString(),
    'my-spa_1.x:a-_.*%7E%21%27%28%29+%2B%2F%3D%25%C3%A9',
  )
})

test('the method that is named is used, whatever the issuer says that it offers', async () => {
  const credentials = { clientSecret: 's:cret' }
  const inBody = await sent(credentials, ['client_secret_basic'], 'client_secret_post')
  assert.deepEqual(inBody.body, { client_id: 'gateway', client_secret: 's:cret' })
  assert.deepEqual(await sent(credentials, undefined, 'none'), {
    body: { client_id: 'gateway' },
    authorization: null,
  })
  const server = { issuer, token_endpoint_auth_methods_supported: ['client_secret_basic'] }
  assert.equal((await clientAuthentication(credentials, server, 'client_secret_post')).isOffered, false)
  assert.equal((await clientAuthentication(credentials, server)).isOffered, true)
})

test('an issuer that offers nothing that the gateway could do is an error that says what it offers', async () => {
  await assert.rejects(sent({ clientSecret: 's' }, ['private_key_jwt', 'tls_client_auth']), {
    message:
      'What is set allows the client authentication client_secret_basic, client_secret_post, client_secret_jwt, but the issuer offers private_key_jwt, tls_client_auth: give the gateway what one of these needs, or name a method by OIDC_CLIENT_AUTH',
  })
})

test('a certificate authenticates by the method that the issuer offers', async () => {
  const certificate = { clientCertFile: '/cert.pem', clientKeyFile: '/key.pem' }
  const chosen = async (credentials: ClientCredentials, offered: string[]) =>
    (await clientAuthentication(credentials, { issuer, token_endpoint_auth_methods_supported: offered })).name
  assert.equal(await chosen(certificate, ['tls_client_auth', 'none']), 'tls_client_auth')
  assert.equal(await chosen(certificate, ['self_signed_tls_client_auth']), 'self_signed_tls_client_auth')
  const both = { ...certificate, clientSecret: 's' }
  assert.equal(await chosen(both, ['client_secret_post', 'tls_client_auth']), 'client_secret_post')
  assert.deepEqual((await sent(certificate, ['tls_client_auth'])).body, { client_id: 'gateway' })
})

test('a secret signs assertions where that is wanted', async () => {
  const { body } = await sent({ clientSecret: 's:cret' }, undefined, 'client_secret_jwt')
  const options = { issuer: 'gateway', subject: 'gateway', audience: issuer, algorithms: ['HS256'] }
  await jwtVerify(body['client_assertion'] ?? '', Buffer.from('s:cret'), options)
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
      // An issuer whose clock is behind would refuse the assertion.
      assert.ok(!('nbf' in payload))
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

test('a key that is for EdDSA says so, not Ed25519', async (t) => {
  const [, { privateKey }] = keys.at(-1) as (typeof keys)[0]
  const jwk = { ...JSON.parse(jwkOf(privateKey)), alg: 'EdDSA' }
  const { body } = await sent({ clientPrivateKeyFile: fileOf(t, JSON.stringify(jwk)) })
  assert.equal(decodeProtectedHeader(body['client_assertion'] ?? '').alg, 'EdDSA')
})

test('a key without an algorithm of its own signs with one that the issuer takes', async (t) => {
  const [[, rsa]] = keys as [(typeof keys)[0]]
  const clientPrivateKeyFile = fileOf(t, jwkOf(rsa.privateKey))
  const algorithmAt = async (accepted: string[]) => {
    const server = { issuer, token_endpoint_auth_signing_alg_values_supported: accepted }
    const { authentication } = await clientAuthentication({ clientPrivateKeyFile }, server)
    const body = new URLSearchParams()
    await authentication(server, { client_id: 'gateway' }, body, new Headers())
    return decodeProtectedHeader(body.get('client_assertion') ?? '').alg
  }
  assert.equal(await algorithmAt(['ES256', 'PS256']), 'PS256')
  assert.equal(await algorithmAt(['PS256', 'RS256']), 'RS256')
  assert.equal(await algorithmAt(['ES256']), 'RS256')
})

test('an assertion is for the issuer, its token endpoint or what is wanted', async (t) => {
  const [[, { privateKey }]] = keys as [(typeof keys)[0]]
  const clientPrivateKeyFile = fileOf(t, jwkOf(privateKey))
  for (const [clientAssertionAudience, aud] of [
    ['issuer', issuer],
    ['token_endpoint', `${issuer}/token`],
    ['urn:issuer', 'urn:issuer'],
  ] as const)
    for (const credentials of [{ clientPrivateKeyFile }, { clientSecret: 's' }]) {
      const method = 'clientSecret' in credentials ? 'client_secret_jwt' : 'private_key_jwt'
      const { body } = await sent({ ...credentials, clientAssertionAudience }, undefined, method)
      assert.equal(decodeJwt(body['client_assertion'] ?? '').aud, aud)
    }
})

test('an assertion names the certificate of its key, wherever that stands', async (t) => {
  const { cert, key } = selfSignedCertificate()
  const jwk = createPrivateKey(key).export({ format: 'jwk' })
  const der = new X509Certificate(cert).raw
  const thumbprint = createHash('sha256').update(der).digest('base64url')
  const ownKey = fileOf(t, key)
  const thumbprintOf = async (credentials: ClientCredentials) => {
    const { body } = await sent(credentials, undefined, 'private_key_jwt')
    return decodeProtectedHeader(body['client_assertion'] ?? '')['x5t#S256']
  }
  for (const credentials of [
    { clientPrivateKeyFile: fileOf(t, key + cert) },
    { clientPrivateKeyFile: fileOf(t, JSON.stringify({ ...jwk, x5c: [der.toString('base64')] })) },
    { clientPrivateKeyFile: fileOf(t, JSON.stringify({ ...jwk, 'x5t#S256': thumbprint })) },
    { clientPrivateKeyFile: ownKey, clientCertFile: fileOf(t, cert) },
  ])
    assert.equal(await thumbprintOf(credentials), thumbprint)
  const foreign = { clientPrivateKeyFile: ownKey, clientCertFile: fileOf(t, selfSignedCertificate().cert) }
  assert.equal(await thumbprintOf(foreign), undefined)
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
