import assert from 'node:assert/strict'
import { test } from 'node:test'
import { selfSignedCertificate } from '../../support/certificate.ts'
import { assertFault, faultsOf, load, loadFile } from './support.ts'

const ca = '/etc/bff/ca.pem'
const { cert, key } = selfSignedCertificate()
const files = { [ca]: cert, '/etc/bff/tls.crt': cert, '/etc/bff/tls.key': key }
const all = { REDIS_CA_FILE: ca, REDIS_CERT_FILE: '/etc/bff/tls.crt', REDIS_KEY_FILE: '/etc/bff/tls.key' }
const access = { caFile: ca, certFile: '/etc/bff/tls.crt', keyFile: '/etc/bff/tls.key' }

test('trusted certificates, client certificate and Sentinel password work with every form of the URL over TLS', () => {
  for (const url of ['rediss://a', 'sentinels://a,b/main', 'clusters://a,b']) {
    const { options, warnings } = load({ ...all, REDIS_URL: url }, files)
    assert.deepEqual(options.redis, access, url)
    assert.deepEqual(warnings, [])
  }
})

test('the file names them as a tree or flat, relative to itself', () => {
  const tree = { url: 'rediss://a', caFile: 'ca.pem', certFile: 'tls.crt', keyFile: 'tls.key' }
  const flat = {
    redisUrl: 'rediss://a',
    redisCaFile: 'ca.pem',
    redisCertFile: 'tls.crt',
    redisKeyFile: 'tls.key',
  }
  for (const content of [{ redis: tree }, flat])
    assert.deepEqual(loadFile(content, {}, files).options.redis, access)
})

test('a client certificate without its key is a fault, and the other way round', () => {
  const url = { REDIS_URL: 'rediss://a' }
  const { REDIS_CERT_FILE, REDIS_KEY_FILE } = all
  assertFault(
    () => load({ ...url, REDIS_CERT_FILE }, files),
    /^REDIS_CERT_FILE is set without REDIS_KEY_FILE/,
  )
  assertFault(() => load({ ...url, REDIS_KEY_FILE }, files), /^REDIS_KEY_FILE is set without REDIS_CERT_FILE/)
})

test('a key that does not belong to the client certificate is a fault', () => {
  const others = { ...files, '/etc/bff/tls.key': selfSignedCertificate().key }
  assertFault(
    () => load({ ...all, REDIS_URL: 'rediss://a' }, others),
    /^REDIS_KEY_FILE names a key that does not belong to the certificate/,
  )
})

test('an expired client certificate causes a warning', () => {
  const old = selfSignedCertificate(Date.now() - 48 * 60 * 60 * 1000)
  const { warnings } = load(
    { ...all, REDIS_URL: 'rediss://a' },
    { ...files, '/etc/bff/tls.crt': old.cert, '/etc/bff/tls.key': old.key },
  )
  assert.match(warnings.join(), /^The certificate of REDIS_CERT_FILE expired at .*: renew it$/)
})

test('TLS files with a URL that does not use TLS are a fault', () => {
  for (const url of ['redis://a', 'sentinel://a/main', 'cluster://a']) {
    const faults = faultsOf(() => load({ ...all, REDIS_URL: url }, files))
    assert.equal(faults.length, 3, url)
    for (const fault of faults)
      assert.match(fault, /^REDIS_(CA|CERT|KEY)_FILE is set, but REDIS_URL is not over TLS/)
  }
})

test('options without effect cause a warning', () => {
  const withoutUrl = load(all, files).warnings
  assert.equal(withoutUrl.filter((text) => / does nothing without REDIS_URL$/.test(text)).length, 3)
  const { warnings } = load({ REDIS_URL: 'rediss://a', REDIS_SENTINEL_PASSWORD: 'x' })
  assert.deepEqual(warnings, ['REDIS_SENTINEL_PASSWORD does nothing: REDIS_URL names no Sentinels'])
})
