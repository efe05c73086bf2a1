import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { selfSignedCertificate } from '../../support/certificate.ts'
import { assertFault, faultsOf, load, loadFile } from './support.ts'

const certFile = '/run/secrets/tls.crt'
const keyFile = '/run/secrets/tls.key'
const both = { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }
const { cert, key } = selfSignedCertificate()

test('a certificate and its key switch TLS on, and PUBLIC_URL is then https by default', () => {
  const { options, warnings } = loadPair({ cert, key })

  assert.deepEqual(options.tls, { certFile, keyFile })
  assert.equal(options.publicUrl.href, 'https://localhost:3000/')
  assert.equal(options.cookie.name, '__Host-bff')
  assert.deepEqual(warnings, [])
})

test('without them there is no TLS', () => {
  assert.equal(load().options.tls, undefined)
})

test('the configuration file may name them, relative to itself', () => {
  const files = { '/etc/bff/tls.crt': cert, '/etc/bff/tls.key': key }

  const { options } = loadFile({ tls: { certFile: 'tls.crt', keyFile: 'tls.key' } }, {}, files)

  assert.deepEqual(options.tls, { certFile: '/etc/bff/tls.crt', keyFile: '/etc/bff/tls.key' })
})

test('the certificate file may hold the chain too', () => {
  assert.deepEqual(loadPair({ cert: cert + selfSignedCertificate().cert, key }).warnings, [])
})

test('a certificate without its key is a fault, and a key without its certificate', () => {
  for (const [set, missing] of [
    ['TLS_CERT_FILE', 'TLS_KEY_FILE'],
    ['TLS_KEY_FILE', 'TLS_CERT_FILE'],
  ] as const) {
    const run = () => load({ [set]: both[set] }, { [certFile]: cert, [keyFile]: key })
    assertFault(
      run,
      new RegExp(`^${missing} is missing: TLS needs it beside ${set}, and plain HTTP neither$`),
    )
  }
})

test('unreadable files are reported, both at once', () => {
  assert.deepEqual(
    faultsOf(() => load(both)),
    [
      `TLS_CERT_FILE names a file that does not exist (it is ${certFile})`,
      `TLS_KEY_FILE names a file that does not exist (it is ${keyFile})`,
    ],
  )
})

test('a file without a certificate is a fault', () => {
  const der = new X509Certificate(cert).raw.toString('latin1')
  for (const text of ['', 'nonsense', key, der, cert.slice(0, 100)])
    assertFault(() => loadPair({ cert: text, key }), /^TLS_CERT_FILE names a file without a certificate/)
})

test('a file without a private key is a fault', () => {
  for (const text of ['', 'nonsense', cert, key.slice(0, 100)])
    assertFault(() => loadPair({ cert, key: text }), /^TLS_KEY_FILE names a file without a private key/)
})

test('an encrypted key is a fault that says how to decrypt it', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const encrypted = privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'x',
  })

  assertFault(
    () => loadPair({ cert, key: String(encrypted) }),
    /^TLS_KEY_FILE names a key that is encrypted: decrypt it, as in openssl/,
  )
})

test('a key of another certificate is a fault', () => {
  assertFault(
    () => loadPair({ cert, key: selfSignedCertificate().key }),
    /^TLS_KEY_FILE names a key that does not belong to the certificate \(it is \/run\/secrets\/tls.key\)$/,
  )
})

test('a chain that breaks off is a fault', () => {
  const half = selfSignedCertificate().cert.slice(0, 200)
  assertFault(
    () => loadPair({ cert: `${cert}${half}\n-----END CERTIFICATE-----\n`, key }),
    /^TLS_CERT_FILE names a certificate that TLS can not use/,
  )
})

test('a certificate that has expired, or is not valid yet, is a warning', () => {
  const hourMs = 60 * 60 * 1000
  const doubts = [-48, 24].map((hours) => {
    return loadPair(selfSignedCertificate(Date.now() + hours * hourMs)).warnings
  })

  assert.match(String(doubts[0]), /^The certificate of TLS_CERT_FILE expired at \d{4}-.*Z: renew it$/)
  assert.match(String(doubts[1]), /^The certificate of TLS_CERT_FILE is not valid before \d{4}-.*Z/)
})

test('a public URL of plain http is a warning', () => {
  const { warnings } = loadPair({ cert, key }, { PUBLIC_URL: 'http://localhost:3000' })

  assert.match(String(warnings), /^PUBLIC_URL begins with http although TLS_CERT_FILE is set/)
})

function loadPair(pair: { cert: string; key: string }, environment = {}) {
  return load({ ...both, ...environment }, { [certFile]: pair.cert, [keyFile]: pair.key })
}
