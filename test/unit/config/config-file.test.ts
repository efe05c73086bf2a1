import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertFault, faultsOf, load, loadFile } from './support.ts'

test('a path of keys in the file spells the name of a variable; case, `_`, `-` and nesting do not matter', () => {
  for (const content of [
    { oidc: { clientId: 'shop' } },
    { oidcClientId: 'shop' },
    { OIDC_CLIENT_ID: 'shop' },
    { oidc: { client: { id: 'shop' } } },
    { 'oidc-client-id': 'shop' },
    { oidc: { CLIENT_ID: 'shop' } },
  ]) {
    assert.equal(
      loadFile(content, { OIDC_CLIENT_ID: '' }).options.oidc.clientId,
      'shop',
      JSON.stringify(content),
    )
  }
})

test('values may be strings, numbers, booleans and arrays', () => {
  const { options } = loadFile({
    port: 8080,
    trustProxy: true,
    corsOrigins: ['https://a.example.com', 'https://b.example.com'],
    oidc: { scope: ['openid', 'email'], authorizationParams: ['prompt=login', 'acr_values=x'] },
    redisUrl: '',
    csrfHeader: '',
    session: { keys: [] },
  })
  assert.equal(options.port, 8080)
  assert.equal(options.trustProxy, true)
  assert.deepEqual(options.corsOrigins, ['https://a.example.com', 'https://b.example.com'])
  assert.equal(options.oidc.scope, 'openid email')
  assert.equal(String(options.oidc.authorizationParams), 'prompt=login&acr_values=x')
  assert.equal(options.redisUrl, undefined)
})

test('the environment wins over the file, and the file over the default', () => {
  const content = { port: 1111, host: '127.0.0.1' }
  const { options } = loadFile(content, { PORT: '2222' })
  assert.deepEqual([options.port, options.host, options.csrfHeader], [2222, '127.0.0.1', 'x-csrf'])
  assert.equal(loadFile(content, { PORT: '' }).options.port, 1111)
})

test('a fault in the file names its path there, the variable and the file', () => {
  assertFault(
    () => loadFile({ oidc: { timeout: 5 } }),
    /^oidc\.timeout \(OIDC_TIMEOUT\) in \/etc\/bff\/gateway\.json lacks a unit: .* \(it is "5"\)$/,
  )
  assertFault(() => loadFile({ PORT: 'x' }), /^PORT in \/etc\/bff\/gateway\.json must be/)
  assertFault(
    () => loadFile({ session: { idleTimeout: '9d' } }),
    /^session\.idleTimeout \(SESSION_IDLE_TIMEOUT\) in \S+ is longer than SESSION_LIFETIME/,
  )
})

test('an unknown key is a fault, with the nearest known key as a hint', () => {
  assertFault(
    () => loadFile({ odic: { clientId: 'x' } }),
    /^odic\.clientId in \S+ is no option: did you mean oidc\.clientId\?$/,
  )
  assertFault(() => loadFile({ upstream: [] }), /did you mean upstreams\?$/)
  assertFault(
    () => loadFile({ 'favourite colour': 'blue' }),
    /^"favourite colour" in \S+ is no option: remove it/,
  )
  assertFault(() => loadFile({ nothing: {} }), /^nothing in \S+ is no option/)
  assertFault(() => loadFile('{ "__proto__": { "port": 1 } }'), /^__proto__\.port in \S+ is no option/)
  assert.ok(loadFile({ cookie: {} }))
})

test('the same variable twice is a fault', () => {
  assertFault(
    () => loadFile({ oidc: { clientId: 'a' }, OIDC_CLIENT_ID: 'b' }),
    /^OIDC_CLIENT_ID in \S+ says OIDC_CLIENT_ID once more, after oidc\.clientId/,
  )
})

test('a value of the wrong kind is a fault', () => {
  assertFault(() => loadFile({ port: null }), /^port in \S+ must be a string, a number or a boolean$/)
  assertFault(() => loadFile({ port: [1, 2] }), /^port in \S+ must be a string, a number or a boolean$/)
  assertFault(() => loadFile({ corsOrigins: [['https://a.example.com']] }), /or an array of these$/)
  assertFault(() => loadFile({ configFile: 'other.json' }), /^configFile in \S+ has no meaning/)
})

test('a file that can not be read or parsed is the only fault, as its options are unknown', () => {
  const missing = { OIDC_ISSUER: '', OIDC_CLIENT_ID: '', NODE_ENV: 'production', SESSION_KEYS: '' }
  assertFault(
    () => load({ ...missing, CONFIG_FILE: '/nowhere.json' }),
    /^CONFIG_FILE names a file that does not exist: \/nowhere/,
  )
  assertFault(() => loadFile('[]', missing), /^CONFIG_FILE must hold a JSON object/)
  assertFault(
    () => loadFile('{ "port": 1,\n}', missing),
    /^CONFIG_FILE is not valid JSON at line 2 column 1 \(look for/,
  )
  assertFault(
    () => load({ CONFIG_FILE: '{"oidcClientSecret":"hunter2"}' }),
    /^CONFIG_FILE must be the path of a file, [^"]*$/,
  )
})

test('other faults are reported together with that of a file that can not be read or parsed', () => {
  assert.equal(faultsOf(() => loadFile('nonsense', { PORT: 'x' })).length, 2)
})

test('each wrong entry of an array is reported with its index', () => {
  assert.deepEqual(
    faultsOf(() => loadFile({ corsOrigins: ['https://a.example.com', 'x', 'y'] })).map(
      (fault) => fault.split(' must')[0],
    ),
    [2, 3].map((entry) => `corsOrigins (CORS_ORIGINS) in /etc/bff/gateway.json (entry ${entry})`),
  )
})

test('a JSON Schema may be named', () => {
  assert.ok(loadFile({ $schema: './node_modules/fastify-bff/fastify-bff.schema.json' }))
})

test('a byte order mark does no harm', () => {
  assert.equal(loadFile('\uFEFF{"port":1}').options.port, 1)
})

test('a path in the file is relative to the file', () => {
  const { options } = loadFile({ staticDir: 'public' }, {}, { '/etc/bff/public/index.html': '' })
  assert.equal(options.staticDir, '/etc/bff/public')
})
