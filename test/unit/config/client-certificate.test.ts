import assert from 'node:assert/strict'
import { test } from 'node:test'
import { selfSignedCertificate } from '../../support/certificate.ts'
import { faultsOf, load } from './support.ts'

const { cert, key } = selfSignedCertificate()
const files = { '/client.crt': cert, '/client.key': key }
const both = { OIDC_CLIENT_CERT_FILE: '/client.crt', OIDC_CLIENT_KEY_FILE: '/client.key' }

test('a client certificate and its key are taken together', () => {
  const { oidc } = load(both, files).options
  assert.deepEqual([oidc.clientCertFile, oidc.clientKeyFile], ['/client.crt', '/client.key'])
  const { options } = load({ ...both, OIDC_CLIENT_AUTH: 'tls_client_auth' }, files)
  assert.equal(options.oidc.clientAuth, 'tls_client_auth')
})

test('one of the two without the other, or with the key of another certificate, is a fault', () => {
  for (const [name, other] of [
    ['OIDC_CLIENT_CERT_FILE', 'OIDC_CLIENT_KEY_FILE'],
    ['OIDC_CLIENT_KEY_FILE', 'OIDC_CLIENT_CERT_FILE'],
  ] as const)
    assert.deepEqual(
      faultsOf(() => load({ [name]: both[name] }, files)),
      [`${name} is set without ${other}: a certificate needs its key`],
    )
  const foreign = { ...files, '/client.key': selfSignedCertificate().key }
  assert.match(faultsOf(() => load(both, foreign)).join(), /key that does not belong to the certificate/)
})

test('a client certificate that has expired is worth a warning', () => {
  const old = selfSignedCertificate(Date.now() - 48 * 60 * 60_000)
  const { warnings } = load(both, { '/client.crt': old.cert, '/client.key': old.key })
  assert.match(warnings.join(), /The certificate of OIDC_CLIENT_CERT_FILE expired at/)
})

test('each client authentication needs what it authenticates with', () => {
  for (const [method, needed] of [
    ['client_secret_post', 'OIDC_CLIENT_SECRET'],
    ['private_key_jwt', 'OIDC_CLIENT_PRIVATE_KEY_FILE'],
    ['tls_client_auth', 'OIDC_CLIENT_CERT_FILE'],
    ['self_signed_tls_client_auth', 'OIDC_CLIENT_CERT_FILE'],
  ] as const)
    assert.deepEqual(
      faultsOf(() => load({ OIDC_CLIENT_AUTH: method })),
      [`OIDC_CLIENT_AUTH is ${method}, which needs ${needed}: set it, or choose another method`],
    )
})
