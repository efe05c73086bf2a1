import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigurationError, loadConfig, upstreamDefaults } from '../../../config/index.ts'
import { assertFault, fakeFiles, faultsOf, key, load, minimal } from './support.ts'

/** Without a warning. */
const production = {
  NODE_ENV: 'production',
  PUBLIC_URL: 'https://app.example.com',
  REDIS_URL: 'rediss://redis',
  OIDC_CLIENT_SECRET: 'hunter2',
}

test('the minimal configuration gives the documented defaults', () => {
  const { options, warnings } = load()
  assert.deepEqual(warnings, [])
  assert.deepEqual(options, {
    publicUrl: new URL('http://localhost:3000'),
    host: '0.0.0.0',
    port: 3000,
    trustProxy: false,
    logLevel: 'info',
    oidc: {
      issuer: new URL('https://login.example.com'),
      clientId: 'gateway',
      clockToleranceMs: 30_000,
      authorizationParams: new URLSearchParams(),
      dpop: false,
      par: 'auto',
      requestObject: 'auto',
      responseMode: 'query',
      insecure: false,
      issParameter: 'auto',
      userinfo: true,
      timeoutMs: 5000,
    },
    session: {
      keys: [Buffer.from(key, 'base64')],
      idleTimeoutMs: 28_800_000,
      lifetimeMs: 604_800_000,
      binding: 'off',
      maxPerUser: 100,
    },
    cookie: { name: 'bff', sameSite: 'strict' },
    storeTimeoutMs: 5_000,
    refreshBeforeExpirationMs: 60_000,
    upstreams: [],
    requireLogin: false,
    frontendCsp: [],
    corsOrigins: [],
    corsExposedHeaders: [],
    csrfHeader: 'x-csrf',
    metricsHost: '0.0.0.0',
    adminHost: '127.0.0.1',
    keepAliveTimeoutMs: 75_000,
    shutdown: { delayMs: 5000, timeoutMs: 30_000 },
    diagnostics: true,
  })
})

test('API_URL is one upstream at /api with the token of the user', () => {
  assert.deepEqual(load({ API_URL: 'https://api.example.com' }).options.upstreams, [
    {
      ...upstreamDefaults(),
      prefix: '/api',
      target: new URL('https://api.example.com'),
      token: 'user',
    },
  ])
})

test('the public URL follows the port outside production', () => {
  assert.equal(load({ PORT: '8080' }).options.publicUrl.href, 'http://localhost:8080/')
})

test('the cookie is named by the scheme of the public URL', () => {
  assert.equal(load({ PUBLIC_URL: 'https://app.example.com' }).options.cookie.name, '__Host-bff')
  assert.equal(load({ PUBLIC_URL: 'http://localhost' }).options.cookie.name, 'bff')
})

test('empty and blank variables count as unset', () => {
  const { options } = load({ PORT: '', COOKIE_NAME: ' ', REDIS_URL: '', CONFIG_FILE: '', STATIC_DIR: '' })
  assert.equal(options.port, 3000)
  assert.equal(options.cookie.name, 'bff')
  assert.ok(!('redisUrl' in options) && !('staticDir' in options))
  assertFault(() => load({ OIDC_CLIENT_ID: '' }), /^OIDC_CLIENT_ID is missing: set it to/)
})

test('without session keys each start outside production makes random ones, and warns', () => {
  const [first, other] = [load({ SESSION_KEYS: '' }), load({ SESSION_KEYS: '' })]
  assert.equal(first.options.session.keys[0].length, 32)
  assert.notDeepEqual(first.options.session.keys, other.options.session.keys)
  assert.match(first.warnings.join(), /^SESSION_KEYS is not set: .* node -p/)
})

test('production demands a public URL and session keys', () => {
  const faults = faultsOf(() => load({ NODE_ENV: 'production', SESSION_KEYS: '' }))
  assert.equal(faults.length, 2)
  assert.match(faults[0] ?? '', /^PUBLIC_URL is missing: set it to .*https:\/\/app\.example\.com/)
  assert.match(faults[1] ?? '', /^SESSION_KEYS is missing: make one with/)
})

test('diagnostics are off in production', () => {
  assert.equal(load(production).options.diagnostics, false)
  assert.equal(load({ NODE_ENV: 'development' }).options.diagnostics, true)
})

test('in production sessions in memory cause a warning', () => {
  assert.match(load({ ...production, REDIS_URL: '' }).warnings.join(), /^REDIS_URL is not set/)
  assert.deepEqual(load(production).warnings, [])
})

test('in production a client without credentials causes a warning', () => {
  assert.match(
    load({ ...production, OIDC_CLIENT_SECRET: '' }).warnings.join(),
    /^Neither OIDC_CLIENT_SECRET nor OIDC_CLIENT_PRIVATE_KEY_FILE/,
  )
  assert.deepEqual(load(production).warnings, [])
})

test('one message lists every fault, one a line', () => {
  const environment = {
    PORT: 'abc',
    OIDC_ISSUER: 'http://login.example.com',
    SESSION_KEYS: 'short',
    COOKIE_SAMESITE: 'none',
  }
  assert.throws(
    () => loadConfig(environment, fakeFiles({})),
    (error) => {
      assert.ok(error instanceof ConfigurationError)
      assert.equal(error.code, 'CONFIGURATION_INVALID')
      assert.deepEqual(error.message.split('\n'), [
        'The configuration has 5 faults:',
        '  - PORT must be a port, a whole number from 0 to 65535 (it is "abc")',
        '  - OIDC_CLIENT_ID is missing: set it to the client identifier that the issuer knows the gateway by',
        '  - OIDC_ISSUER must begin with https:// (http:// is for localhost only, or in a network that you trust with OIDC_INSECURE) (it is "http://login.example.com")',
        `  - SESSION_KEYS (entry 1) must be base64 of 32 bytes: make one with: node -p "crypto.randomBytes(32).toString('base64')"`,
        '  - COOKIE_SAMESITE is none, which browsers accept on https only: give PUBLIC_URL https or use strict or lax',
      ])
      return true
    },
  )
  assert.throws(
    () => load({ PORT: 'abc' }),
    /^ConfigurationError: The configuration has a fault:\n {2}- PORT [^\n]+$/,
  )
})

test('each wrong entry of a list is reported', () => {
  const faults = (environment: Record<string, string>) => [...faultsOf(() => load(environment))]
  assert.deepEqual(
    faults({ CORS_ORIGINS: 'x, https://a.example.com, y,*' }).map((fault) =>
      fault.replace(/ must.*\(it/, ''),
    ),
    ['CORS_ORIGINS (entry 1) is "x")', 'CORS_ORIGINS (entry 3) is "y")', 'CORS_ORIGINS (entry 4) is "*")'],
  )
  assert.equal(faults({ SESSION_KEYS: `a,${key},b` }).length, 2)
  assert.deepEqual(
    faults({ OIDC_AUTHORIZATION_PARAMS: 'scope=a&state=b&prompt=login' }).map(
      (fault) => fault.split(' (it')[0],
    ),
    [
      'OIDC_AUTHORIZATION_PARAMS must not set scope: use OIDC_SCOPE',
      'OIDC_AUTHORIZATION_PARAMS must not set state: the gateway sets it itself',
    ],
  )
})

test('a value with line breaks stays in one line of the message', () => {
  assertFault(() => load({ HOST: 'a\nb' }), /^HOST [^\n]+$/)
})

test('rules between variables', () => {
  const https = { PUBLIC_URL: 'https://app.example.com' }
  assertFault(() => load({ COOKIE_NAME: '__Host-shop' }), /^COOKIE_NAME begins with __Host-, __Secure- or/)
  assertFault(() => load({ COOKIE_NAME: '__SECURE-shop' }), /^COOKIE_NAME begins with/)
  assertFault(() => load({ COOKIE_NAME: '__Http-shop' }), /^COOKIE_NAME begins with/)
  assertFault(() => load({ COOKIE_SAMESITE: 'none' }), /^COOKIE_SAMESITE is none/)
  assert.ok(load({ ...https, COOKIE_NAME: '__Host-shop', COOKIE_SAMESITE: 'none' }))
  assertFault(
    () => load({ SESSION_IDLE_TIMEOUT: '2d', SESSION_LIFETIME: '1d' }),
    /^SESSION_IDLE_TIMEOUT is longer than SESSION_LIFETIME/,
  )
  assert.ok(load({ SESSION_IDLE_TIMEOUT: '1d', SESSION_LIFETIME: '24h' }))
  assertFault(
    () => load({ STATIC_DIR: '/srv', FRONTEND_URL: 'http://localhost:5173' }, { '/srv/index.html': '' }),
    /^STATIC_DIR and FRONTEND_URL are both set: remove one/,
  )
  assertFault(() => load({ FRONTEND_URL: 'http://127.0.0.1:3000' }), /^FRONTEND_URL is the gateway itself/)
  assertFault(
    () => load({ PUBLIC_URL: 'https://app.example.com', FRONTEND_URL: 'https://app.example.com/dev' }),
    /^FRONTEND_URL is the gateway itself/,
  )
  assertFault(() => load({ METRICS_PORT: '3000' }), /^METRICS_PORT is the same as PORT/)
  assert.ok(load({ PORT: '0', METRICS_PORT: '0' }))
  assertFault(() => load({ ADMIN_PORT: '9091' }), /^ADMIN_PORT is set without ADMIN_TOKEN/)
  const admin = { ADMIN_TOKEN: key, METRICS_PORT: '9090' }
  assertFault(() => load({ ...admin, ADMIN_PORT: '3000' }), /^ADMIN_PORT is the same as PORT/)
  assertFault(() => load({ ...admin, ADMIN_PORT: '9090' }), /^ADMIN_PORT is the same as METRICS_PORT/)
  assert.ok(load({ ADMIN_TOKEN: key, PORT: '0', METRICS_PORT: '0', ADMIN_PORT: '0' }))
})

test('a lifetime below the default idle timeout shortens the default, but not a configured idle timeout', () => {
  const { session } = load({ SESSION_LIFETIME: '1h' }).options
  assert.deepEqual([session.idleTimeoutMs, session.lifetimeMs], [3_600_000, 3_600_000])
  assertFault(
    () => load({ SESSION_LIFETIME: '1h', SESSION_IDLE_TIMEOUT: '8h' }),
    /^SESSION_IDLE_TIMEOUT is longer/,
  )
  assertFault(
    () => load({ SESSION_IDLE_TIMEOUT: '30d' }),
    /^SESSION_IDLE_TIMEOUT is longer than SESSION_LIFETIME/,
  )
})

test('a free port without a public URL causes a warning', () => {
  assert.match(load({ PORT: '0' }).warnings.join(), /^PUBLIC_URL is not set and PORT is 0/)
  assert.deepEqual(load({ PORT: '0', PUBLIC_URL: 'http://localhost:3000' }).warnings, [])
})

test('a static folder without an index page causes a warning', () => {
  assert.match(
    load({ STATIC_DIR: '/srv' }, { '/srv/app.js': '' }).warnings.join(),
    /^STATIC_DIR has no index.html: \/srv$/,
  )
})

test('a development server in production causes a warning', () => {
  const frontend = { FRONTEND_URL: 'http://localhost:5173' }
  assert.match(load({ ...production, ...frontend }).warnings.join(), /^FRONTEND_URL is set: a development/)
  assert.deepEqual(load(frontend).warnings, [])
})

test('a required login without a frontend causes a warning', () => {
  assert.match(load({ REQUIRE_LOGIN: 'true' }).warnings.join(), /^REQUIRE_LOGIN does nothing without/)
  assert.deepEqual(load({ REQUIRE_LOGIN: 'true', FRONTEND_URL: 'http://localhost:5173' }).warnings, [])
})

test('PUBLIC_URL and OIDC_ISSUER must be https, except on loopback hosts', () => {
  for (const name of ['PUBLIC_URL', 'OIDC_ISSUER']) {
    assert.throws(
      () => load({ [name]: 'http://app.example.com' }),
      new RegExp(`${name} must begin with https`),
    )
    assert.doesNotThrow(() => load({ [name]: 'https://app.example.com' }))
    for (const host of ['localhost', '127.0.0.1', '[::1]'])
      assert.doesNotThrow(() => load({ [name]: `http://${host}:4000` }))
  }
})

test('OIDC_INSECURE allows plain http to an issuer on another host, with a warning', () => {
  const internal = { OIDC_INTERNAL_URL: 'http://keycloak:8080' }
  assert.throws(() => load(internal), /OIDC_INTERNAL_URL must begin with https/)
  assert.match(
    load({ ...internal, OIDC_INSECURE: 'true' }).warnings.join(),
    /^OIDC_INTERNAL_URL is reached by plain http: the client secret/,
  )
  const issuer = { OIDC_ISSUER: 'http://keycloak:8080', OIDC_INSECURE: 'true' }
  assert.match(load(issuer).warnings.join(), /^OIDC_ISSUER is reached by plain http/)
  assert.match(
    load({ ...issuer, OIDC_INTERNAL_URL: 'https://k' }).warnings.join(),
    /^OIDC_ISSUER begins with/,
  )
  const https = { OIDC_INTERNAL_URL: 'https://keycloak:8443', OIDC_INSECURE: 'true' }
  assert.deepEqual(load(https).warnings, [])
})

test('a plain http origin on another host causes a warning', () => {
  assert.match(
    load({ CORS_ORIGINS: 'http://app.example.com' }).warnings.join(),
    /^CORS_ORIGINS allows http:\/\/app/,
  )
  assert.deepEqual(load({ CORS_ORIGINS: 'http://localhost:5173' }).warnings, [])
})

test('a variable that looks like a typing error causes a warning, with the nearest name', () => {
  const { warnings } = load({
    OIDC_CLIENTID: 'x',
    OIDC_SECRET: 'x',
    SESSION_KEY: 'x',
    SESSION_TIMEOUT: 'x',
    REDIS_URI: 'x',
    SESION_KEYS: 'x',
    KEEPALIVE_TIMEOUT: 'x',
    CRSF_HEADER: 'x',
  })
  assert.deepEqual(
    warnings.map((warning) => warning.replace(' is not known and does nothing: did you mean ', ' → ')),
    [
      'OIDC_CLIENTID → OIDC_CLIENT_ID?',
      'OIDC_SECRET → OIDC_CLIENT_SECRET?',
      'SESSION_KEY → SESSION_KEYS?',
      'SESSION_TIMEOUT → SESSION_IDLE_TIMEOUT?',
      'REDIS_URI → REDIS_URL?',
      'SESION_KEYS → SESSION_KEYS?',
      'KEEPALIVE_TIMEOUT → KEEP_ALIVE_TIMEOUT?',
      'CRSF_HEADER → CSRF_HEADER?',
    ],
  )
})

test('variables of other programs are ignored', () => {
  const { warnings } = load({
    SESSION_MANAGER: 'x',
    REDIS_PORT: 'x',
    REDIS_SERVICE_HOST: 'x',
    POTR: '1',
    API_URL_INTERNAL: 'x',
    COOKIE_NAM: '',
  })
  assert.deepEqual(warnings, [])
})

test('the environment is not changed', () => {
  const environment = Object.freeze({ ...minimal, PORT: '8080' })
  assert.equal(loadConfig(environment, fakeFiles({})).options.port, 8080)
})
