import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GatewayOptions } from '../../../config/index.ts'
import { selfSignedCertificate } from '../../support/certificate.ts'
import { assertFault, key, load, settingNames } from './support.ts'

interface Cases {
  /** From text to the parsed value. */
  good: [string, unknown][]
  bad: [string, RegExp][]
  read: (options: GatewayOptions) => unknown
  /** Set too, so that only the tested value can be at fault. */
  with?: Record<string, string>
}

const inherited = ['constructor', '__proto__'].map((name): [string, RegExp] => [
  name,
  /must be another name: this one means something to JavaScript/,
])

const durations: Cases['bad'] = [
  ['15', /lacks a unit: write 500ms, 15s/],
  ['1.5h', /must be a duration such as/],
  ['15 s', /must be a duration such as/],
  ['-5s', /must be a duration such as/],
  ['999999d', /must be from .+ to /],
]

const webUrls: Cases['bad'] = [
  ['app.example.com', /must be a full URL such as https?:/],
  ['ftp://app.example.com', /must be a full URL/],
  ['https:app.example.com', /must be a full URL/],
  ['https://a b', /must be a full URL/],
  ['http://app.example.com', /must begin with https:/],
  ['http://127.0.0.1.example.com', /must begin with https:/],
  ['http://localhost.example.com', /must begin with https:/],
  ['http://0.0.0.0', /must begin with https:/],
  ['http://[::2]', /must begin with https:/],
  ['https://user:hunter2@app.example.com', /must not hold a user or password/],
  ['https://app.example.com/?a=b', /must not have a query or fragment/],
  ['https://app.example.com/#', /must not have a query or fragment/],
  ['https://app.example.com//evil.example', /two slashes in a row/],
]

const second = Buffer.alloc(32, 0xff)

const cases: Record<string, Cases> = {
  PUBLIC_URL: {
    good: [
      ['https://app.example.com', 'https://app.example.com/'],
      ['https://app.example.com/shop/', 'https://app.example.com/shop'],
      ['http://localhost:3000', 'http://localhost:3000/'],
      ['http://shop.localhost', 'http://shop.localhost/'],
      ['http://127.8.8.8:80', 'http://127.8.8.8/'],
      ['http://[::1]:3000', 'http://[::1]:3000/'],
    ],
    bad: webUrls,
    read: ({ publicUrl }) => publicUrl.href,
  },
  HOST: {
    good: ['127.0.0.1', '::', 'fe80::1%eth0', 'localhost', 'gateway.internal'].map((host) => [host, host]),
    bad: ['http://x', '[::1]', 'a b', '300.1.1.1', '3000', 'host:80'].map((host) => [
      host,
      /must be an IP address/,
    ]),
    read: ({ host }) => host,
  },
  PORT: {
    good: [
      ['8080', 8080],
      ['0', 0],
      ['65535', 65535],
    ],
    bad: ['65536', '-1', '80.5', '0x50', 'http'].map((port) => [port, /from 0 to 65535/]),
    read: ({ port }) => port,
  },
  // Good ones are in tls-files.test.ts.
  TLS_CERT_FILE: {
    good: [],
    bad: [['-----BEGIN CERTIFICATE-----', /must be the path of a file, not what the file holds/]],
    read: ({ tls }) => tls?.certFile,
    with: { TLS_KEY_FILE: '/tls.key' },
  },
  TLS_KEY_FILE: {
    good: [],
    bad: [['-----BEGIN PRIVATE KEY-----', /must be the path of a file, not what the file holds/]],
    read: ({ tls }) => tls?.keyFile,
    with: { TLS_CERT_FILE: '/tls.crt' },
  },
  TRUST_PROXY: {
    good: [
      ['true', true],
      ['false', false],
      ['0', false],
      ['2', 2],
      ['10.0.0.0/8, fd00::/8,127.0.0.1', ['10.0.0.0/8', 'fd00::/8', '127.0.0.1']],
      ['loopback', ['loopback']],
    ],
    bad: ['yes', '10.0.0.0/33', '10.0.0/8', 'proxy.example.com', ','].map((text) => [
      text,
      /must be true, false, how many/,
    ]),
    read: ({ trustProxy }) => trustProxy,
  },
  LOG_LEVEL: {
    good: [
      ['debug', 'debug'],
      ['WARN', 'warn'],
    ],
    bad: [['loud', /must be one of fatal, error, warn, info, debug, trace, silent \(it is "loud"\)/]],
    read: ({ logLevel }) => logLevel,
  },
  OIDC_ISSUER: {
    good: [
      ['https://login.example.com/realms/x', 'https://login.example.com/realms/x'],
      ['https://login.example.com/x/', 'https://login.example.com/x/'],
      ['http://localhost:4000', 'http://localhost:4000/'],
    ],
    bad: webUrls,
    read: ({ oidc }) => oidc.issuer.href,
  },
  OIDC_CLIENT_ID: {
    good: [[' my-client ', 'my-client']],
    bad: [['a\tb', /control character: remove it/]],
    read: ({ oidc }) => oidc.clientId,
  },
  OIDC_CLIENT_SECRET: {
    good: [['s3cr=t, "x"\n', 's3cr=t, "x"']],
    bad: [['a\nb', /control character: remove it$/]],
    read: ({ oidc }) => oidc.clientSecret,
  },
  // Good ones are in private-key.test.ts.
  OIDC_CLIENT_PRIVATE_KEY_FILE: {
    good: [],
    bad: [
      ['/nowhere.pem', /names a file that does not exist/],
      ['{"kty":"EC","d":"x"}', /must be the path of a file, not what the file holds/],
    ],
    read: ({ oidc }) => oidc.clientPrivateKeyFile,
  },
  OIDC_CLIENT_AUTH: {
    good: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'none'].map((method) => [
      method,
      method,
    ]),
    bad: [['basic', /must be one of client_secret_basic, client_secret_post, .*, none/]],
    read: ({ oidc }) => oidc.clientAuth,
    with: { OIDC_CLIENT_SECRET: 'hunter2' },
  },
  // Good ones are in client-certificate.test.ts.
  OIDC_CLIENT_CERT_FILE: {
    good: [],
    bad: [['-----BEGIN CERTIFICATE-----', /must be the path of a file, not what the file holds/]],
    read: ({ oidc }) => oidc.clientCertFile,
    with: { OIDC_CLIENT_KEY_FILE: '/client.key' },
  },
  OIDC_CLIENT_KEY_FILE: {
    good: [],
    bad: [['-----BEGIN PRIVATE KEY-----', /must be the path of a file, not what the file holds/]],
    read: ({ oidc }) => oidc.clientKeyFile,
    with: { OIDC_CLIENT_CERT_FILE: '/client.crt' },
  },
  OIDC_CLIENT_ASSERTION_AUDIENCE: {
    good: ['issuer', 'token_endpoint', 'https://login.example.com/token'].map((value) => [value, value]),
    bad: [['a\nb', /holds a line break/]],
    read: ({ oidc }) => oidc.clientAssertionAudience,
  },
  OIDC_ID_TOKEN_ALG: {
    good: ['RS256', 'PS512', 'ES256', 'EdDSA', 'HS256'].map((alg) => [alg, alg]),
    bad: ['none', 'rs256', 'RS256 ES256'].map((alg) => [alg, /must be one of RS256, .*, HS512/]),
    read: ({ oidc }) => oidc.idTokenAlg,
    with: { OIDC_CLIENT_SECRET: 'hunter2' },
  },
  // Good ones are in private-key.test.ts.
  OIDC_DECRYPTION_KEY_FILE: {
    good: [],
    bad: [
      ['/nowhere.pem', /names a file that does not exist/],
      ['{"kty":"EC","d":"x"}', /must be the path of a file, not what the file holds/],
    ],
    read: ({ oidc }) => oidc.decryptionKeyFile,
  },
  OIDC_CLOCK_TOLERANCE: {
    good: [
      ['0s', 0],
      ['10m', 600_000],
    ],
    bad: [...durations, ['11m', /must be from 0s to 10m/]],
    read: ({ oidc }) => oidc.clockToleranceMs,
  },
  OIDC_SCOPE: {
    good: [['openid  api:read', 'openid api:read']],
    bad: [
      ['profile email', /must contain openid/],
      ['openid,profile', /must contain openid.+separated by spaces/],
      ['openid "x"', /without quotes/],
    ],
    read: ({ oidc }) => oidc.scope,
  },
  OIDC_AUTHORIZATION_PARAMS: {
    good: [
      ['prompt=consent&acr_values=a%20b', 'prompt=consent&acr_values=a+b'],
      ['resource=https://a&resource=https://b', 'resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb'],
    ],
    bad: [
      ...'response_type client_id client_secret redirect_uri state nonce code_challenge code_challenge_method request request_uri'
        .split(' ')
        .map((name): [string, RegExp] => [
          `prompt=login&${name}=x`,
          new RegExp(`must not set ${name}: the gateway`),
        ]),
      ['scope=openid', /must not set scope: use OIDC_SCOPE/],
      ['response_mode=form_post', /must not set response_mode: use OIDC_RESPONSE_MODE/],
      ['prompt', /must be a query string of names with values/],
      ['=x', /must be a query string of names with values/],
      ['prompt=login&prompt=none', /must not set a parameter twice/],
    ],
    read: ({ oidc }) => String(oidc.authorizationParams),
  },
  OIDC_DPOP: {
    good: [
      ['true', true],
      ['false', false],
    ],
    bad: [['yes', /must be one of true, false/]],
    read: ({ oidc }) => oidc.dpop,
  },
  OIDC_PAR: {
    good: ['auto', 'always', 'never'].map((when) => [when, when]),
    bad: [['true', /must be one of auto, always, never/]],
    read: ({ oidc }) => oidc.par,
  },
  OIDC_REQUEST_OBJECT: {
    good: ['auto', 'never'].map((when) => [when, when]),
    bad: [
      ['true', /must be one of auto, always, never/],
      ['always', /is always, which needs OIDC_CLIENT_PRIVATE_KEY_FILE: set it, or sign no requests/],
    ],
    read: ({ oidc }) => oidc.requestObject,
  },
  OIDC_RESPONSE_MODE: {
    good: ['query', 'form_post', 'jwt', 'form_post.jwt'].map((mode) => [mode, mode]),
    bad: [['fragment', /must be one of query, form_post, jwt, form_post.jwt/]],
    read: ({ oidc }) => oidc.responseMode,
  },
  OIDC_ISS_PARAMETER: {
    good: ['auto', 'optional'].map((value) => [value, value]),
    bad: [['never', /must be one of auto, optional/]],
    read: ({ oidc }) => oidc.issParameter,
  },
  OIDC_LOGOUT_URL: {
    good: [
      'https://x.auth.eu-west-1.amazoncognito.com/logout?client_id={client_id}&logout_uri={return_url}',
      'https://tenant.auth0.com/v2/logout?returnTo={return_url}',
      'https://login.example.com/logout',
    ].map((template) => [template, template]),
    bad: [
      ['https://x.example/?a={clientId}', /must have no placeholders but \{client_id\} and \{return_url\}/],
      ['http://x.example/logout?a={client_id}', /must begin with https:/],
      ['/logout?a={client_id}', /must be a full URL/],
    ],
    read: ({ oidc }) => oidc.logoutUrl,
  },
  OIDC_INTERNAL_URL: {
    good: [
      ['https://keycloak.internal:8443', 'https://keycloak.internal:8443/'],
      ['https://keycloak.internal/realms/x/', 'https://keycloak.internal/realms/x'],
      ['http://127.0.0.1:8080', 'http://127.0.0.1:8080/'],
    ],
    bad: webUrls,
    read: ({ oidc }) => oidc.internalUrl?.href,
  },
  OIDC_INSECURE: {
    good: [
      ['true', true],
      ['false', false],
    ],
    bad: [['yes', /must be one of true, false/]],
    read: ({ oidc }) => oidc.insecure,
  },
  OIDC_USERINFO: {
    good: [
      ['true', true],
      ['false', false],
    ],
    bad: [['no', /must be one of true, false/]],
    read: ({ oidc }) => oidc.userinfo,
  },
  OIDC_TIMEOUT: {
    good: [
      ['500ms', 500],
      ['2m', 120_000],
    ],
    bad: [...durations, ['0s', /must be from 100ms to 2m/]],
    read: ({ oidc }) => oidc.timeoutMs,
  },
  SESSION_KEYS: {
    good: [
      [key, [key]],
      [`${key} , ${second.toString('base64url')},`, [key, second.toString('base64')]],
      [second.toString('base64').replace('=', ''), [second.toString('base64')]],
    ],
    bad: [
      [Buffer.alloc(16).toString('base64'), /\(entry 1\) must be base64 of 32 bytes: make one with: node -p/],
      [`${key},${Buffer.alloc(33).toString('base64')}`, /\(entry 2\) must/],
      [second.toString('hex'), /\(entry 1\) must/],
      [`${key}${key}`, /\(entry 1\) must/],
      [',', /at least one key/],
    ],
    read: ({ session }) => session.keys.map((sealing) => sealing.toString('base64')),
  },
  SESSION_IDLE_TIMEOUT: {
    good: [
      ['30m', 1_800_000],
      ['1s', 1000],
    ],
    bad: durations,
    read: ({ session }) => session.idleTimeoutMs,
  },
  SESSION_LIFETIME: {
    good: [['30d', 2_592_000_000]],
    bad: durations,
    read: ({ session }) => session.lifetimeMs,
  },
  SESSION_BINDING: {
    good: ['auto', 'required', 'off'].map((text) => [text, text]),
    bad: ['on', 'true'].map((text) => [text, /must be one of auto, required, off/]),
    read: ({ session }) => session.binding,
    with: { PUBLIC_URL: 'https://app.example.com' },
  },
  SESSION_MAX_PER_USER: {
    good: [
      ['1', 1],
      ['10000', 10_000],
    ],
    bad: ['0', '-1', '1.5', '10001', 'many', '1e3'].map((text) => [text, /whole number from 1 to 10000/]),
    read: ({ session }) => session.maxPerUser,
  },
  COOKIE_NAME: {
    with: { PUBLIC_URL: 'https://app.example.com' },
    good: ['__Host-shop', '__Secure-shop', 'shop_1'].map((name) => [name, name]),
    bad: [
      ...['a b', 'a;b', 'a=b', 'ä', '"a"'].map((name): [string, RegExp] => [name, /must be a cookie name/]),
      ...inherited,
    ],
    read: ({ cookie }) => cookie.name,
  },
  COOKIE_SAMESITE: {
    with: { PUBLIC_URL: 'https://app.example.com' },
    good: [
      ['Strict', 'strict'],
      ['lax', 'lax'],
      ['none', 'none'],
    ],
    bad: [['off', /must be one of strict, lax, none/]],
    read: ({ cookie }) => cookie.sameSite,
  },
  REDIS_URL: {
    good: [
      'redis://localhost',
      'rediss://user:hunter2@redis.example.com:6380/2',
      'sentinel://a:26379,b:26379/main',
      'cluster://a:6379,b:6379',
    ].map((url) => [url, url]),
    bad: [
      ['localhost:6379', /has none of the known forms/],
      ['http://localhost', /has none of the known forms/],
      ['sentinel://a:26379', /lacks the master's name/],
      ['redis://a:99999', /host or port that is missing or malformed/],
    ],
    read: ({ redisUrl }) => redisUrl,
  },
  REDIS_CA_FILE: {
    with: { REDIS_URL: 'rediss://redis' },
    good: [['/srv/tls.crt', '/srv/tls.crt']],
    bad: [
      ['/srv/nowhere', /names a file that does not exist \(it is \/srv\/nowhere\)/],
      ['/srv/tls.key', /names a file without certificates: it must be PEM/],
    ],
    read: ({ redis }) => redis?.caFile,
  },
  REDIS_CERT_FILE: {
    with: { REDIS_URL: 'rediss://redis', REDIS_KEY_FILE: '/srv/tls.key' },
    good: [['/srv/tls.crt', '/srv/tls.crt']],
    bad: [['/srv/tls.key', /names a file without a certificate/]],
    read: ({ redis }) => redis?.certFile,
  },
  REDIS_KEY_FILE: {
    with: { REDIS_URL: 'rediss://redis', REDIS_CERT_FILE: '/srv/tls.crt' },
    good: [['/srv/tls.key', '/srv/tls.key']],
    bad: [['/srv/tls.crt', /names a file without a private key/]],
    read: ({ redis }) => redis?.keyFile,
  },
  REDIS_SENTINEL_PASSWORD: {
    with: { REDIS_URL: 'sentinel://sentinel/sessions' },
    good: [['a pass: word', 'a pass: word']],
    bad: [['hunter2\nhunter2', /line break or another control character/]],
    read: ({ redis }) => redis?.sentinelPassword,
  },
  STORE_TIMEOUT: {
    good: [['2s', 2_000]],
    bad: [...durations, ['50ms', /must be from 100ms to 1m/]],
    read: ({ storeTimeoutMs }) => storeTimeoutMs,
  },
  REFRESH_BEFORE_EXPIRATION: {
    good: [['15s', 15_000]],
    bad: [...durations, ['0s', /must be from 100ms to 1d/]],
    read: ({ refreshBeforeExpirationMs }) => refreshBeforeExpirationMs,
  },
  API_URL: {
    good: [
      ['https://api.example.com/v1/', 'https://api.example.com/v1'],
      ['http://localhost:5000', 'http://localhost:5000/'],
    ],
    bad: webUrls,
    read: ({ upstreams }) => upstreams.find(({ prefix }) => prefix === '/api')?.target.href,
  },
  STATIC_DIR: {
    good: [['/srv/app/', '/srv/app']],
    bad: [
      ['/srv/nowhere', /must be a folder that exists \(it is \/srv\/nowhere\)/],
      ['/srv/app/index.html', /must be a folder that exists/],
    ],
    read: ({ staticDir }) => staticDir,
  },
  FRONTEND_URL: {
    good: [
      ['http://localhost:5173', 'http://localhost:5173/'],
      ['http://[::1]:5173/shop/', 'http://[::1]:5173/shop'],
      ['https://dev.example.com', 'https://dev.example.com/'],
    ],
    bad: webUrls,
    read: ({ frontendUrl }) => frontendUrl?.href,
  },
  FRONTEND_CA_FILE: {
    with: { FRONTEND_URL: 'https://localhost:5173' },
    good: [['/srv/tls.crt', '/srv/tls.crt']],
    bad: [
      ['/srv/nowhere', /names a file that does not exist \(it is \/srv\/nowhere\)/],
      ['/srv/tls.key', /names a file without certificates: it must be PEM/],
    ],
    read: ({ frontendCaFile }) => frontendCaFile,
  },
  FRONTEND_NAME: {
    good: [['The Shop', 'The Shop']],
    bad: [['x'.repeat(61), /at most 60 characters/]],
    read: ({ frontendName }) => frontendName,
  },
  FRONTEND_COLOR: {
    good: [
      ['#2457A6', '#2457a6'],
      ['#fc0', '#fc0'],
    ],
    bad: ['red', '#12', '#12345678', 'rgb(1,2,3)', '#fff;}'].map((text) => [text, /must be a colour/]),
    read: ({ frontendColor }) => frontendColor,
  },
  REQUIRE_LOGIN: {
    good: [
      ['true', true],
      ['TRUE', true],
      ['false', false],
    ],
    bad: ['1', 'yes', 'on'].map((text) => [text, /must be one of true, false/]),
    read: ({ requireLogin }) => requireLogin,
  },
  FRONTEND_CSP: {
    good: [
      [
        'img-src  http://images.example.com ; worker-src blob:;',
        ['img-src http://images.example.com', 'worker-src blob:'],
      ],
      ["script-src 'wasm-unsafe-eval' 'sha256-abc='", ["script-src 'wasm-unsafe-eval' 'sha256-abc='"]],
      ['sandbox', ['sandbox']],
    ],
    bad: [
      ['images https:', /\(entry 1\) must begin with the name of a directive/],
      ['img-src https:; Script-Src https:', /\(entry 2\) must begin with the name of a directive/],
      ['img-src', /must have sources/],
      ['img-src https://a.example.com, https://b.example.com', /without commas/],
      ['img-src https://für.example.com', /of ASCII characters/],
      ['script-src self', /in single quotes/],
      ['script-src sha256-abc=', /in single quotes/],
      ["object-src 'none'", /only widens/],
    ],
    read: ({ frontendCsp }) => frontendCsp,
  },
  CORS_ORIGINS: {
    good: [
      ['https://a.example.com, http://localhost:5173', ['https://a.example.com', 'http://localhost:5173']],
      ['capacitor://localhost', ['capacitor://localhost']],
    ],
    bad: [
      ['*', /\(entry 1\) must name an origin/],
      ['https://*.example.com', /\(entry 1\) must name an origin/],
      ['null', /\(entry 1\) must name an origin/],
      ['https://a.example.com,https://b.example.com/', /\(entry 2\) must be an origin/],
      ['https://A.example.com', /\(entry 1\) must be an origin/],
      ['https://a.example.com:443', /\(entry 1\) must be an origin/],
      ['https://user:hunter2@a.example.com', /\(entry 1\) must be an origin/],
      ['a.example.com', /\(entry 1\) must be an origin/],
    ],
    read: ({ corsOrigins }) => corsOrigins,
  },
  CORS_EXPOSED_HEADERS: {
    good: [['X-Total-Count, ETag', ['x-total-count', 'etag']]],
    bad: [
      ['ETag, *', /\(entry 2\) must name single headers/],
      ['set-cookie', /\(entry 1\) must name single headers/],
      ['x total', /\(entry 1\) must be the name of a header/],
    ],
    read: ({ corsExposedHeaders }) => corsExposedHeaders,
  },
  CSRF_HEADER: {
    good: [['X-Requested-By', 'x-requested-by']],
    bad: [
      ['x csrf', /must be a header name/],
      ...['Accept', 'content-type', 'Cookie', 'sec-fetch-site', 'X-Forwarded-For'].map(
        (name): [string, RegExp] => [name, /must be a header of your own/],
      ),
      ...inherited,
    ],
    read: ({ csrfHeader }) => csrfHeader,
  },
  METRICS_PORT: {
    good: [['9090', 9090]],
    bad: [['metrics', /from 0 to 65535/]],
    read: ({ metricsPort }) => metricsPort,
  },
  METRICS_HOST: {
    good: [
      ['127.0.0.1', '127.0.0.1'],
      ['::1', '::1'],
    ],
    bad: [['127.0.0.1:9090', /must be an IP address or host name by itself/]],
    read: ({ metricsHost }) => metricsHost,
  },
  ADMIN_PORT: {
    good: [['9091', 9091]],
    bad: [['admin', /from 0 to 65535/]],
    read: ({ adminPort }) => adminPort,
    with: { ADMIN_TOKEN: key },
  },
  ADMIN_HOST: {
    good: [
      ['127.0.0.1', '127.0.0.1'],
      ['::1', '::1'],
    ],
    bad: [['127.0.0.1:9091', /must be an IP address or host name by itself/]],
    read: ({ adminHost }) => adminHost,
  },
  ADMIN_TOKEN: {
    good: [
      [key, key],
      ['9f86d081884c7d659a2feaa0c55ad015', '9f86d081884c7d659a2feaa0c55ad015'],
    ],
    bad: [
      ['hunter2', /must be at least 32 letters/],
      [`${key} `.repeat(2), /must be at least 32 letters/],
      ['a'.repeat(64), /can be guessed/],
      ['admin-token-admin-token-admin-token', /can be guessed/],
      ['abcdefghijklmnopqrstuvwxyz0123456789', /can be guessed/],
    ],
    read: ({ adminToken }) => adminToken,
  },
  KEEP_ALIVE_TIMEOUT: {
    good: [['2m', 120_000]],
    bad: [...durations, ['0s', /must be from 1s to 1h/]],
    read: ({ keepAliveTimeoutMs }) => keepAliveTimeoutMs,
  },
  SHUTDOWN_DELAY: {
    good: [
      ['0s', 0],
      ['10s', 10_000],
    ],
    bad: durations,
    read: ({ shutdown }) => shutdown.delayMs,
  },
  SHUTDOWN_TIMEOUT: {
    good: [['1m', 60_000]],
    bad: durations,
    read: ({ shutdown }) => shutdown.timeoutMs,
  },
}

const { cert, key: tlsKey } = selfSignedCertificate()
const texts = { '/srv/app/index.html': '<!doctype html>', '/srv/tls.crt': cert, '/srv/tls.key': tlsKey }

for (const [name, { good, bad, read, with: others }] of Object.entries(cases)) {
  test(`${name} is accepted in all its forms`, () => {
    for (const [text, expected] of good) {
      assert.deepEqual(
        read(load({ ...others, SESSION_LIFETIME: '400d', [name]: text }, texts).options),
        expected,
        text,
      )
    }
  })

  test(`${name} is refused with a hint when it is wrong`, () => {
    for (const [text, pattern] of bad) {
      const run = () => load({ ...others, SESSION_LIFETIME: '400d', [name]: text }, texts)
      assertFault(run, new RegExp(`^${name} .*${pattern.source}`, 's'))
      assert.throws(run, (error: Error) => !error.message.includes('hunter2'))
    }
  })
}

test('every variable has its cases', () => {
  assert.deepEqual(
    Object.keys(cases).toSorted(),
    settingNames.filter((name) => name !== 'CONFIG_FILE').toSorted(),
  )
})
