import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Environment } from '../../../config/index.ts'
import { assertFault, faultsOf, loadFile } from './support.ts'

/** Self-signed, for example.com; only the format matters. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIBhDCCASmgAwIBAgIUFaao2vG1hyEun3dU9tAWQtHi5mgwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLZXhhbXBsZS5jb20wIBcNMjYxMTI0MTAzMjI3WhgPMjEyNjEw
MzExMDMyMjdaMBYxFDASBgNVBAMMC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEi073FO2zNJ3rTiYUfH/F7TT5Bwau15XH8hsEyrK/2HOVLftL
+GV0Xm6Ff7ULfmiGVt1c6ez7P2oy+ERnK10usKNTMFEwHQYDVR0OBBYEFOhhT4tk
mDlDsGfADbh3CJD0G1o/MB8GA1UdIwQYMBaAFOhhT4tkmDlDsGfADbh3CJD0G1o/
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAO0TO3smC6bmtQWL
GetQnc+BsIOCGSZIZgplK4MQSwmeAiEAnISpxOA7uOhNxnYkZw1bxti2fsGRjBJA
c9RflqwL9Qw=
-----END CERTIFICATE-----`

const api = { prefix: '/api', target: 'https://api.example.com' }

function upstreamsOf(upstreams: unknown, environment: Environment = {}, texts = {}) {
  return loadFile({ upstreams }, environment, texts).options.upstreams
}

test('an upstream needs a prefix and a target, the rest has defaults', () => {
  assert.deepEqual(upstreamsOf([api]), [
    {
      prefix: '/api',
      target: new URL('https://api.example.com'),
      token: 'user',
      exchange: false,
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
      csrf: true,
      insecure: false,
      http2: false,
      connectTimeoutMs: 5000,
      timeoutMs: 30_000,
      requestCookies: [],
      responseCookies: [],
    },
  ])
  assert.deepEqual(upstreamsOf([]), [])
})

test('an upstream may set every option', () => {
  const full = {
    prefix: '/weather/v2',
    target: 'http://weather.internal:8080/base/',
    token: 'none',
    insecure: true,
    ca: certificate,
    connectTimeout: '1s',
    timeout: '2m',
    responseCookies: ['theme'],
  }
  assert.deepEqual(upstreamsOf([full]), [
    {
      prefix: '/weather/v2',
      target: new URL('http://weather.internal:8080/base'),
      token: 'none',
      exchange: false,
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
      csrf: true,
      insecure: true,
      ca: certificate,
      http2: false,
      connectTimeoutMs: 1000,
      timeoutMs: 120_000,
      requestCookies: [],
      responseCookies: ['theme'],
    },
  ])
})

test('certificates may stand in a file, relative to the configuration file', () => {
  const [upstream] = upstreamsOf([{ ...api, ca: 'ca.pem' }], {}, { '/etc/bff/ca.pem': certificate })
  assert.equal(upstream?.ca, certificate)
})

test('invalid certificates are a fault that does not repeat them', () => {
  const broken = certificate.replace(/MII/, 'XXX')
  assertFault(
    () => upstreamsOf([{ ...api, ca: broken }]),
    /^upstreams\[0\]\.ca in \S+ must be PEM certificates [^"]*$/,
  )
  assertFault(
    () => upstreamsOf([{ ...api, ca: 'ca.pem' }]),
    /\.ca in \S+ names a file that does not exist: \/etc\/bff\/ca\.pem$/,
  )
  const texts = { '/etc/bff/ca.pem': 'nothing' }
  assertFault(() => upstreamsOf([{ ...api, ca: 'ca.pem' }], {}, texts), /must be PEM certificates/)
})

test('API_URL of the environment replaces the upstream at /api and leaves the others', () => {
  const others = { prefix: '/weather', target: 'https://weather.example.com' }
  const upstreams = upstreamsOf([{ ...api, token: 'none' }, others], { API_URL: 'https://new.example.com' })
  assert.deepEqual(
    upstreams.map(({ prefix, target, token }) => [prefix, target.href, token]),
    [
      ['/api', 'https://new.example.com/', 'user'],
      ['/weather', 'https://weather.example.com/', 'user'],
    ],
  )
})

test('apiUrl and an upstream at /api in the same file contradict each other', () => {
  assertFault(
    () => loadFile({ apiUrl: 'https://x.example.com', upstreams: [api] }),
    /^apiUrl \(API_URL\) in \S+ and an entry of upstreams both say where \/api leads/,
  )
})

test('plain http to another host needs "insecure": true', () => {
  const http = { ...api, target: 'http://api.example.com' }
  assertFault(
    () => upstreamsOf([http]),
    /^upstreams\[0\]\.target in \S+ must begin with https:\/\/.*"insecure": true/,
  )
  assertFault(() => upstreamsOf([{ ...http, insecure: false }]), /must begin with https/)
  assert.ok(upstreamsOf([{ ...http, insecure: true }]))
  assert.ok(upstreamsOf([{ ...http, target: 'http://localhost:5000' }]))
})

test('a prefix that the router or the proxy could misread is refused', () => {
  for (const prefix of [
    '/',
    '',
    'api',
    '/api/',
    '/a//b',
    '/*',
    '/:id',
    '/a?b',
    '/a#b',
    '/%61pi',
    '/a/../b',
    '/./a',
    '/a b',
    '/ä',
    '/a\\b',
  ]) {
    assertFault(
      () => upstreamsOf([{ ...api, prefix }]),
      /^upstreams\[0\]\.prefix in \S+ must be a plain path/,
    )
  }
})

test("an upstream can not take the gateway's own paths", () => {
  for (const prefix of ['/bff', '/bff/login', '/healthz', '/readyz/x']) {
    assertFault(
      () => upstreamsOf([{ ...api, prefix }]),
      /^upstreams\[0\]\.prefix in \S+ is one of the gateway's own paths/,
    )
  }
  assert.ok(upstreamsOf([{ ...api, prefix: '/bffs' }]))
})

test('a prefix belongs to one upstream', () => {
  assertFault(
    () => upstreamsOf([api, { ...api, prefix: '/api/v2' }, api]),
    /^upstreams\[2\]\.prefix in \S+ is taken by upstreams\[0\]/,
  )
})

test('an upstream takes one of five kinds of token', () => {
  for (const token of ['user', 'client', 'user-or-client', 'user-or-none', 'none']) {
    assert.equal(upstreamsOf([{ ...api, token }])[0]?.token, token)
  }
  assert.equal(upstreamsOf([{ ...api, token: ' User ' }])[0]?.token, 'user')
  assertFault(
    () => upstreamsOf([{ ...api, token: 'admin' }]),
    /must be one of user, client, .* \(it is "admin"\)/,
  )
})

test('an upstream may have tokens of its own, by resource or audience', () => {
  const own = { scope: 'orders.read orders.write', resource: 'https://orders.example', audience: 'orders' }
  assert.partialDeepStrictEqual(upstreamsOf([{ ...api, ...own, exchange: true }])[0], {
    ...own,
    exchange: true,
  })
  const faults: [Record<string, unknown>, RegExp][] = [
    [{ scope: 'a  b' }, /scope in \S+ must be scopes with one space between/],
    [{ resource: 'orders' }, /resource in \S+ must be an absolute URI without a fragment/],
    [{ resource: 'https://orders.example/#x' }, /resource in \S+ must be an absolute URI/],
    [{ audience: '' }, /audience in \S+ is empty/],
    [{ exchange: 'yes', audience: 'a' }, /exchange in \S+ must be true or false/],
    [{ token: 'none', scope: 'a' }, /^upstreams\[0\] in \S+ has a scope, but no token/],
    [{ token: 'client', exchange: true, audience: 'a' }, /has exchange, but no user's token/],
    [{ exchange: true }, /has exchange, but not what for/],
  ]
  for (const [given, message] of faults) assertFault(() => upstreamsOf([{ ...api, ...given }]), message)
})

test('every fault of every upstream is reported with its path', () => {
  const faults = faultsOf(() =>
    upstreamsOf([
      {
        prefix: '/bff',
        target: 'http://user:hunter2@api.example.com',
        tokens: 'user',
        timeout: 5,
        connectTimeout: '5',
      },
      'https://api.example.com',
      { insecure: 'yes', responseCookies: ['a b'] },
      null,
    ]),
  )
  assert.deepEqual(faults.map((fault) => fault.replace(/ in \/etc\/bff\/gateway\.json.*$/, '')).sort(), [
    'upstreams[0].connectTimeout',
    'upstreams[0].prefix',
    'upstreams[0].target',
    'upstreams[0].timeout',
    'upstreams[0].tokens',
    'upstreams[1]',
    'upstreams[2].insecure',
    'upstreams[2].prefix',
    'upstreams[2].responseCookies[0]',
    'upstreams[2].target',
    'upstreams[3]',
  ])
  assert.match(faults.join('\n'), /tokens in \S+ is no option: did you mean token\?/)
  assert.match(faults.join('\n'), /target in \S+ is missing: give the remote API's URL/)
  assert.doesNotMatch(faults.join('\n'), /hunter2/)
})

test('upstreams must be a list', () => {
  assertFault(() => upstreamsOf(api), /^upstreams in \S+ must be a list/)
})
