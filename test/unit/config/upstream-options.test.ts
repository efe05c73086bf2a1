import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeConfig } from '../../../config/index.ts'
import { selfSignedCertificate } from '../../support/certificate.ts'
import { assertFault, faultsOf, loadFile } from './support.ts'

const api = { prefix: '/api', target: 'https://api.example.com' }
const { cert, key } = selfSignedCertificate()

/** The one upstream that is given as `api` with these options. */
function upstreamOf(options: object, texts = {}) {
  const [upstream = assert.fail()] = loadFile({ upstreams: [{ ...api, ...options }] }, {}, texts).options
    .upstreams
  return upstream
}

/** Asserts that each value is refused under its key, with a message that matches. */
function assertRefused(option: string, values: unknown[], message: RegExp): void {
  for (const value of values) {
    assertFault(
      () => upstreamOf({ [option]: value }),
      new RegExp(`^upstreams\\[0\\]\\.${option}\\S* in \\S+ ${message.source}`),
    )
  }
}

test('methods are a list in upper or lower case, and GET includes HEAD', () => {
  assert.deepEqual(upstreamOf({ methods: ['get', 'POST'] }).methods, ['GET', 'HEAD', 'POST'])
  assert.deepEqual(upstreamOf({ methods: ['HEAD', 'DELETE', 'DELETE'] }).methods, ['HEAD', 'DELETE'])
  assertRefused('methods', [['FETCH'], ['TRACE'], ['']], /must be one of GET, HEAD, POST/)
  assertRefused('methods', [[]], /must name a method, such as \["GET"\]/)
  assertRefused('methods', ['GET', {}], /must be a list of methods, such as \["GET", "POST"\]/)
})

for (const option of ['csrf', 'http2'] as const) {
  test(`${option} is true or false`, () => {
    assert.equal(upstreamOf({ [option]: true })[option], true)
    assert.equal(upstreamOf({ [option]: false })[option], false)
    assertRefused(option, ['true', 1, null], /must be true or false/)
  })
}

test('request headers are names in upper or lower case', () => {
  assert.deepEqual(upstreamOf({ requestHeaders: ['Accept', 'x-tenant'] }).requestHeaders, [
    'accept',
    'x-tenant',
  ])
  assert.deepEqual(upstreamOf({ requestHeaders: [] }).requestHeaders, [])
  assert.equal(upstreamOf({}).requestHeaders, undefined)
  assertRefused(
    'requestHeaders',
    [['a b'], ['a:'], ['']],
    /must be the name of a header, such as accept-language/,
  )
  assertRefused('requestHeaders', ['accept'], /must be a list of header names/)
})

test('a request header that never passes is refused, with what to do instead', () => {
  assertRefused('requestHeaders', [['Cookie']], /is given cookie by cookie: name them in requestCookies/)
  const never = ['authorization', 'host', 'Connection', 'te', 'x-forwarded-for', 'x_tenant', 'forwarded']
  assertRefused(
    'requestHeaders',
    never.map((name) => [name]),
    /is never passed on, or set by the gateway itself/,
  )
})

test('response headers are names in upper or lower case, and those that never pass are refused', () => {
  assert.deepEqual(upstreamOf({ responseHeaders: ['ETag'] }).responseHeaders, ['etag'])
  assertRefused(
    'responseHeaders',
    [['set-cookie']],
    /is given cookie by cookie: name them in responseCookies/,
  )
  const never = [
    'connection',
    'Clear-Site-Data',
    'access-control-allow-origin',
    'x-accel-redirect',
    'NEL',
    'Report-To',
    'BFF-Login-URL',
    'Secure-Session-Challenge',
  ]
  assertRefused(
    'responseHeaders',
    never.map((name) => [name]),
    /never reaches a browser/,
  )
})

test('cookies are listed by name, in both directions', () => {
  for (const option of ['requestCookies', 'responseCookies'] as const) {
    assert.deepEqual(upstreamOf({ [option]: ['theme'] })[option], ['theme'])
    assert.deepEqual(upstreamOf({})[option], [])
    assertRefused(option, [['a b'], ['a=b']], /must be a cookie name/)
    assertRefused(option, ['theme'], /must be a list of cookie names/)
  }
})

for (const option of ['requestCookies', 'responseCookies']) {
  test(`the gateway's own cookies can't be named in ${option}`, () => {
    for (const name of ['bff', 'bff-tx', 'bff-tx-0123', 'bff-rounds', '__Host-bff', '__Secure-BFF-tx-1']) {
      const fault = new RegExp(`^The upstream at /api names the cookie ${name}, which is the gateway's own`)
      assertFault(() => upstreamOf({ [option]: [name] }), fault)
    }
    assert.ok(upstreamOf({ [option]: ['__Host-theme', 'bff2'] }))
  })
}

test('connections is a whole number from 1 to 10000', () => {
  assert.equal(upstreamOf({ connections: 10 }).connections, 10)
  assert.equal(upstreamOf({}).connections, undefined)
  assertRefused('connections', ['10', 1.5, null], /must be a whole number, without quotes/)
  assertRefused('connections', [0, -1], /must be 1 or more/)
  assertRefused('connections', [10_001], /must be 10000 or less/)
})

test('keepAliveTimeout is a duration from 1s to 10m', () => {
  assert.equal(upstreamOf({ keepAliveTimeout: '90s' }).keepAliveTimeoutMs, 90_000)
  assert.equal(upstreamOf({}).keepAliveTimeoutMs, undefined)
  assertRefused('keepAliveTimeout', ['500ms', '11m'], /must be from 1s to 10m/)
})

test('certificate and key of the gateway may stand in files, relative to the configuration file', () => {
  const given = { clientCert: 'tls/gateway.pem', clientKey: '/run/secrets/gateway.key' }
  const texts = { '/etc/bff/tls/gateway.pem': cert, '/run/secrets/gateway.key': key }
  const { clientCert, clientKey } = upstreamOf(given, texts)
  assert.deepEqual({ clientCert, clientKey }, { clientCert: cert, clientKey: key })
  assert.ok(upstreamOf({ clientCert: cert, clientKey: key }))
})

test('a certificate without its key is a fault, and a key without its certificate', () => {
  assertFault(
    () => upstreamOf({ clientCert: cert }),
    /^upstreams\[0\]\.clientKey in \S+ is missing: name the file/,
  )
  assertFault(
    () => upstreamOf({ clientKey: key }),
    /^upstreams\[0\]\.clientCert in \S+ is missing: name the file/,
  )
  assertFault(
    () => upstreamOf({ clientCert: cert, clientKey: selfSignedCertificate().key }),
    /^upstreams\[0\]\.clientKey in \S+ is not the key of the first certificate in clientCert/,
  )
})

test('an invalid key is a fault that does not repeat it', () => {
  const broken = key.replace(/\n./, '\n*')
  for (const clientKey of [broken, cert, 'gateway.key']) {
    const faults = faultsOf(() =>
      upstreamOf({ clientCert: cert, clientKey }, { '/etc/bff/gateway.key': 'secret' }),
    )
    assert.equal(faults.length, 1)
    assert.match(
      faults[0] ?? '',
      /^upstreams\[0\]\.clientKey in \S+ must be a PEM private key without a passphrase/,
    )
    assert.doesNotMatch(faults[0] ?? '', /secret|M[A-Za-z\d]{10}/)
  }
  assertRefused('clientKey', ['missing.key'], /names a file that does not exist: \/etc\/bff\/missing\.key/)
})

test('serverName is a host name', () => {
  assert.equal(upstreamOf({ serverName: 'api.internal' }).serverName, 'api.internal')
  assertRefused('serverName', ['10.0.0.1', '::1', 'a:443'], /must be a host name/)
  assertRefused('serverName', ['https//x', 'a b'], /must be an IP address or host name by itself/)
})

test('TLS options need a target with https', () => {
  const target = 'http://localhost:5000'
  for (const option of [{ http2: true }, { serverName: 'x' }]) {
    const [name] = Object.keys(option)
    assertFault(
      () => upstreamOf({ target, ...option }),
      new RegExp(`\\.${name} in \\S+ needs a target with https`),
    )
  }
  const faults = faultsOf(() => upstreamOf({ target, clientCert: cert, clientKey: key }))
  assert.equal(faults.length, 2)
  assert.ok(upstreamOf({ target, http2: false }))
})

test('a key file may hold the text that OpenSSL writes above the key', () => {
  const clientKey = `Bag Attributes\n    localKeyID: 01\n${key}`
  assert.equal(upstreamOf({ clientCert: cert, clientKey }).clientKey, clientKey.trim())
})

test('a contradiction between options is reported together with faults of other options', () => {
  const faults = faultsOf(() => upstreamOf({ clientCert: cert, exchange: true, timeout: 'x', typo: 1 }))
  for (const fault of [
    /timeout in .+ must be a duration/,
    /clientKey in .+ is missing/,
    /has exchange, but/,
  ]) {
    assert.ok(
      faults.some((message) => fault.test(message)),
      `${fault}\n${faults.join('\n')}`,
    )
  }
  assert.equal(faults.length, 4)
})

test('a contradiction is not reported while one of the options is wrong by itself', () => {
  for (const options of [
    { clientCert: cert, clientKey: 'x' },
    { exchange: true, audience: '' },
  ]) {
    assert.equal(faultsOf(() => upstreamOf(options)).length, 1)
  }
  for (const entry of [undefined, null, 'x', []]) {
    assert.equal(faultsOf(() => loadFile({ upstreams: [entry] })).length, 1)
  }
})

test('no key is shown, and certificates are counted', () => {
  const { options } = loadFile({ upstreams: [{ ...api, ca: cert + cert, clientCert: cert, clientKey: key }] })
  const description = describeConfig(options)
  assert.match(description, /"ca":"2 certificate\(s\)","clientCert":"1 certificate\(s\)","clientKey":"\*{8}"/)
  assert.doesNotMatch(description, /-----BEGIN|M[A-Za-z\d]{20}/)
})

const overlapping = [
  ['/api', '/api'],
  ['/app', '/app/api'],
  ['/app/api', '/app'],
]

for (const [base, prefix] of overlapping) {
  test(`a PUBLIC_URL with the path ${base} and an upstream at ${prefix} contradict each other`, () => {
    const environment = { PUBLIC_URL: `https://app.example.com${base}` }
    assertFault(
      () => loadFile({ upstreams: [{ ...api, prefix }] }, environment),
      new RegExp(`^The upstream at ${prefix} and the path ${base} of PUBLIC_URL overlap`),
    )
  })
}

test('API_URL can contradict the path of PUBLIC_URL too', () => {
  const environment = { PUBLIC_URL: 'https://app.example.com/api/', API_URL: 'https://api.example.com' }
  assertFault(
    () => loadFile({}, environment),
    /^The upstream at \/api and the path \/api of PUBLIC_URL overlap/,
  )
})

test('paths that only begin alike do not contradict each other', () => {
  const environment = { PUBLIC_URL: 'https://app.example.com/ap' }
  assert.ok(loadFile({ upstreams: [api, { ...api, prefix: '/ap2' }] }, environment))
  assert.ok(loadFile({ upstreams: [api] }, { PUBLIC_URL: 'https://app.example.com/api2' }))
})
