import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IncomingHeaders, ResponseHeaderRules } from '../../../plugins/upstream/response-headers.ts'
import {
  announcedTrailers,
  carriesTrailers,
  responseTrailers,
  wantsTrailers,
} from '../../../plugins/upstream/trailers.ts'

const rules: ResponseHeaderRules = {
  prefix: '/api',
  target: new URL('https://api.example.com/v1'),
  publicOrigin: 'https://app.example.com',
  allowed: new Set(['x-checksum', 'x-public', 'x-b', 'x-c']),
  cookies: { names: ['theme'], sessionCookies: ['__Host-bff'] },
  perUser: true,
}

function shown(trailers: IncomingHeaders, headers: IncomingHeaders = {}, allowed = rules.allowed) {
  return responseTrailers(trailers, headers, { ...rules, allowed })
}

test('known trailers pass', () => {
  const trailers = {
    'grpc-status': '0',
    'grpc-message': 'fine',
    'content-digest': 'sha-256=:AA==:',
    'server-timing': 'db;dur=53',
    etag: '"a"',
    'x-checksum': ['1', '2'],
  }
  assert.deepEqual(shown(trailers), trailers)
  assert.deepEqual(shown({}), {})
})

const kept = {
  'frames the message': ['content-length', 'transfer-encoding', 'trailer', 'connection', 'te'],
  'describes the body': ['content-type', 'content-encoding', 'content-range', 'content-location'],
  'controls caching': ['cache-control', 'expires', 'pragma', 'age', 'vary', 'date', 'warning'],
  'directs the client elsewhere': ['location', 'link', 'retry-after', 'refresh'],
  'is about credentials': ['set-cookie', 'cookie', 'authorization', 'www-authenticate', 'proxy-authenticate'],
  'is about a request': ['host', 'expect', 'range', 'max-forwards', 'if-match', 'if-none-match'],
  protects: ['content-security-policy', 'x-content-type-options', 'x-frame-options', 'permissions-policy'],
  'is a policy of our origin': [
    'access-control-allow-origin',
    'strict-transport-security',
    'clear-site-data',
  ],
  'steers a proxy in front': ['x-accel-redirect', 'x-accel-buffering', 'surrogate-control', 'upgrade'],
}

for (const [what, names] of Object.entries(kept)) {
  for (const name of names) {
    test(`forbidden as a trailer, listed or not, as it ${what}: ${name}`, () => {
      assert.deepEqual(shown({ [name]: 'theme=x' }), {})
      assert.deepEqual(shown({ [name]: 'theme=x' }, {}, new Set([name])), {})
    })
  }
}

test('trailers named in Connection are removed', () => {
  const headers = { connection: 'close, X-Internal' }
  assert.deepEqual(shown({ 'x-internal': '1', connection: 'x-public', 'x-public': '2' }, headers), {
    'x-public': '2',
  })
})

test('a field that may not pass as a header may not pass as a trailer', () => {
  const trailers = { 'x-tenant': '7', 'x-debug': '1' }
  assert.deepEqual(shown(trailers, {}, new Set(['x-tenant'])), { 'x-tenant': '7' })
})

test('the Trailer header announces those that pass', () => {
  const announced = (trailer?: string | string[]) => announcedTrailers({ trailer, connection: 'x-a' }, rules)
  assert.equal(announced('X-Checksum, Set-Cookie ,,x-a'), 'x-checksum')
  assert.equal(announced(['x-b', 'x-c']), 'x-b, x-c')
  assert.equal(announced('Content-Length'), '')
  assert.equal(announced(), '')
})

test('trailers need an HTTP/2 answer with a body, or a chunked HTTP/1.1 one', () => {
  const room = (method: string, httpVersion: string, statusCode = 200, headers = {}) =>
    carriesTrailers({ method, httpVersion }, { statusCode, headers })
  const sized = { 'content-length': '4' }
  assert.deepEqual(
    [room('GET', '1.1'), room('GET', '2.0'), room('GET', '2.0', 200, sized)],
    [true, true, true],
  )
  assert.deepEqual([room('GET', '1.0'), room('GET', '1.1', 200, sized)], [false, false])
  assert.deepEqual(
    [room('HEAD', '2.0'), room('GET', '2.0', 204), room('GET', '1.1', 304)],
    [false, false, false],
  )
})

test('a client accepts trailers by TE', () => {
  const wants = (te?: string, httpVersion = '1.1') =>
    wantsTrailers({ headers: te === undefined ? {} : { te }, httpVersion })
  assert.deepEqual([wants('trailers'), wants('deflate;q=0.5, Trailers')], [true, true])
  assert.deepEqual(
    [wants(), wants(''), wants('deflate'), wants('trailers', '1.0')],
    [false, false, false, false],
  )
})
