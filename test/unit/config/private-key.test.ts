import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { assertFault, load } from './support.ts'

const file = '/run/secrets/client-key'

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed25519 = generateKeyPairSync('ed25519')
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })

test('a private key may be a JWK, a JWKS or PEM', () => {
  const keys = [ec, ed25519, rsa].map(({ privateKey }) => privateKey)
  for (const content of [
    ...keys.map(jwk),
    ...keys.map(pem),
    String(ec.privateKey.export({ type: 'sec1', format: 'pem' })),
    `{ "keys": [${jwk(rsa.publicKey)}, ${jwk(ec.privateKey)}] }`,
  ]) {
    assert.equal(loadKey(content).options.oidc.clientPrivateKeyFile, file)
  }
})

test('a file without a private key is a fault', () => {
  const pattern = /^OIDC_CLIENT_PRIVATE_KEY_FILE names a file without a private key/
  const publicPem = String(ec.publicKey.export({ type: 'spki', format: 'pem' }))
  for (const content of [
    '',
    'nonsense',
    jwk(ec.publicKey),
    publicPem,
    '{}',
    `{ "keys": [${jwk(ec.publicKey)}] }`,
    '{ "keys": [null] }',
  ]) {
    assertFault(() => loadKey(content), pattern)
  }
})

test('a file of broken JSON is a fault that repeats none of it', () => {
  assertFault(
    () => loadKey('{ "d": hunter2 }'),
    /^OIDC_CLIENT_PRIVATE_KEY_FILE names a file that is not valid JSON \(it is \/run\/secrets\/client-key\)$/,
  )
})

test('an encrypted key is a fault that says how to decrypt it', () => {
  const encrypted = ec.privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'x',
  })
  assertFault(() => loadKey(String(encrypted)), /names a key that is encrypted: decrypt it, as in openssl/)
})

test('a key that no signature algorithm can use is a fault', () => {
  const unfit = [
    generateKeyPairSync('rsa', { modulusLength: 1024 }),
    generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
    generateKeyPairSync('x25519'),
  ]
  for (const { privateKey } of unfit)
    assertFault(() => loadKey(pem(privateKey)), /names a key that can not sign/)
})

test('a secret and a private key exclude each other', () => {
  assertFault(
    () => loadKey(pem(ec.privateKey), { OIDC_CLIENT_SECRET: 'hunter2' }),
    /^OIDC_CLIENT_SECRET and OIDC_CLIENT_PRIVATE_KEY_FILE are both set: remove one/,
  )
})

test('a key that decrypts is RSA, EC or X25519, and not the one for signing', () => {
  const decryption = '/run/secrets/decryption-key'
  const loadDecryption = (content: string) =>
    load({ OIDC_DECRYPTION_KEY_FILE: decryption }, { [decryption]: content })
  for (const { privateKey } of [ec, rsa, generateKeyPairSync('x25519')])
    assert.equal(loadDecryption(pem(privateKey)).options.oidc.decryptionKeyFile, decryption)
  const keys = [
    { ...ec.privateKey.export({ format: 'jwk' }), use: 'sig' },
    { ...rsa.privateKey.export({ format: 'jwk' }), use: 'enc' },
  ]
  assert.ok(loadDecryption(JSON.stringify({ keys })))
  assertFault(() => loadDecryption(JSON.stringify({ keys: keys.slice(0, 1) })), /without a private key/)
  assertFault(
    () => loadDecryption(pem(generateKeyPairSync('ed25519').privateKey)),
    /^OIDC_DECRYPTION_KEY_FILE names a key that can not decrypt/,
  )
})

test('an algorithm with the client secret needs that secret', () => {
  assertFault(
    () => load({ OIDC_ID_TOKEN_ALG: 'HS256' }),
    /HS256, which is signed with OIDC_CLIENT_SECRET: set it/,
  )
})

function loadKey(content: string, environment = {}) {
  return load({ OIDC_CLIENT_PRIVATE_KEY_FILE: file, ...environment }, { [file]: content })
}

function jwk(key: KeyObject): string {
  return JSON.stringify(key.export({ format: 'jwk' }))
}

function pem(key: KeyObject): string {
  return String(key.export({ type: 'pkcs8', format: 'pem' }))
}
