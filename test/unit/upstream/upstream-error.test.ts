import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorBody } from '../../../plugins/errors/catalogue.ts'
import { upstreamError } from '../../../plugins/upstream/report.ts'

function failure(code: string): Error {
  return Object.assign(new Error(`connect ${code} 10.0.0.7:8443 api.internal`), { code })
}

const timeouts = ['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT']

for (const code of timeouts) {
  test(`${code} is a timeout: 504`, () => {
    const { code: shown, statusCode } = upstreamError(failure(code))
    assert.deepEqual([shown, statusCode], ['BFF_UPSTREAM_TIMEOUT', 504])
  })
}

const unreachable = [
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  'UND_ERR_HEADERS_OVERFLOW',
  'UND_ERR_DESTROYED',
  'HPE_INVALID_CONSTANT',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_HAS_EXPIRED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'UNKNOWN_CODE',
]

for (const code of unreachable) {
  test(`${code} means unreachable: 502`, () => {
    const { code: shown, statusCode } = upstreamError(failure(code))
    assert.deepEqual([shown, statusCode], ['BFF_UPSTREAM_UNREACHABLE', 502])
  })
}

test('an error without a code, or no error, means unreachable', () => {
  for (const thrown of [undefined, null, 'ETIMEDOUT', new Error('ETIMEDOUT'), { code: 'ETIMEDOUT' }]) {
    assert.equal(upstreamError(thrown).code, 'BFF_UPSTREAM_UNREACHABLE')
  }
})

test('the client gets neither address nor reason, the log gets both', () => {
  const cause = failure('ECONNREFUSED')
  const error = upstreamError(cause)
  assert.equal(error.cause, cause)
  assert.doesNotMatch(JSON.stringify(errorBody(error, 'id', '/bff/login')), /10\.0\.0\.7|internal|ECONN/)
})
