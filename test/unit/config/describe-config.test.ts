import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { describeConfig, type GatewayOptions } from '../../../config/index.ts'
import { options } from '../../../config/schema/index.ts'
import { selfSignedCertificate } from '../../support/certificate.ts'
import { key, load, loadFile, settingNames } from './support.ts'

/** Values by variable, and `upstreams[0]`. */
function described(options: GatewayOptions): Record<string, string> {
  const lines = describeConfig(options).split('\n')
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

test('the minimal configuration is described with the documented defaults, in the order of the documents', () => {
  const defaults = options.map(({ env, schema }) => [
    env,
    schema instanceof z.ZodPrefault ? String(schema._zod.def.defaultValue) : '',
  ])
  const variables = described(load().options)

  assert.deepEqual(variables, {
    ...Object.fromEntries(defaults),
    PUBLIC_URL: 'http://localhost:3000',
    OIDC_ISSUER: 'https://login.example.com',
    OIDC_CLIENT_ID: 'gateway',
    SESSION_KEYS: '********',
    // Automatic: browsers bind sessions over https only.
    SESSION_BINDING: 'off',
    REFRESH_BEFORE_EXPIRATION: '1m',
  })
  assert.deepEqual(Object.keys(variables), settingNames)
})

const full = {
  PUBLIC_URL: 'https://app.example.com/shop',
  HOST: '127.0.0.1',
  PORT: '8080',
  TRUST_PROXY: '10.0.0.0/8,loopback',
  LOG_LEVEL: 'debug',
  OIDC_ISSUER: 'https://login.example.com/realms/x',
  OIDC_CLIENT_ID: 'shop',
  OIDC_CLIENT_SECRET: 'hunter2',
  OIDC_SCOPE: 'openid',
  OIDC_AUTHORIZATION_PARAMS: 'prompt=consent&acr_values=mfa',
  OIDC_TIMEOUT: '1500ms',
  SESSION_KEYS: `${key},${Buffer.alloc(32, 2).toString('base64')}`,
  SESSION_IDLE_TIMEOUT: '90m',
  SESSION_LIFETIME: '36h',
  SESSION_BINDING: 'required',
  SESSION_MAX_PER_USER: '20',
  COOKIE_NAME: '__Host-shop',
  COOKIE_SAMESITE: 'lax',
  REDIS_URL: 'sentinels://shop:hunter2@redis.example.com/main/2',
  REDIS_CA_FILE: '/srv/tls.crt',
  REDIS_CERT_FILE: '/srv/tls.crt',
  REDIS_KEY_FILE: '/srv/tls.key',
  REDIS_SENTINEL_PASSWORD: 'hunter3',
  STORE_TIMEOUT: '3s',
  REFRESH_BEFORE_EXPIRATION: '15s',
  API_URL: 'https://api.example.com/v1',
  TLS_CERT_FILE: '/srv/tls.crt',
  TLS_KEY_FILE: '/srv/tls.key',
  STATIC_DIR: '/srv/app',
  FRONTEND_NAME: 'The Shop',
  FRONTEND_COLOR: '#fc0',
  REQUIRE_LOGIN: 'true',
  FRONTEND_CSP: 'img-src https:;worker-src blob:',
  CORS_ORIGINS: 'https://a.example.com,https://b.example.com',
  CORS_EXPOSED_HEADERS: 'etag',
  CSRF_HEADER: 'x-requested-by',
  METRICS_PORT: '9090',
  METRICS_HOST: '10.0.0.1',
  ADMIN_PORT: '9091',
  ADMIN_HOST: '::1',
  ADMIN_TOKEN: key,
  KEEP_ALIVE_TIMEOUT: '2m',
  SHUTDOWN_DELAY: '0s',
  SHUTDOWN_TIMEOUT: '10s',
}

test('the described configuration can be loaded again, except the secrets', () => {
  const { cert, key } = selfSignedCertificate()
  const texts = { '/srv/app/index.html': '', '/srv/tls.crt': cert, '/srv/tls.key': key }
  const { 'upstreams[0]': upstream, ...variables } = described(load(full, texts).options)
  assert.deepEqual(variables, {
    ...described(load().options),
    ...full,
    OIDC_CLIENT_SECRET: '********',
    SESSION_KEYS: '********,********',
    REDIS_URL: 'sentinels://shop:********@redis.example.com/main/2',
    REDIS_SENTINEL_PASSWORD: '********',
    ADMIN_TOKEN: '********',
  })
  assert.ok(upstream?.startsWith('{"prefix":"/api","target":"https://api.example.com/v1","token":"user"'))
})

test('a development server is described by the URL that was configured', () => {
  const lines = describeConfig(load({ FRONTEND_URL: 'http://localhost:5173/' }).options).split('\n')
  assert.ok(lines.includes('FRONTEND_URL=http://localhost:5173'), lines.join('\n'))
})

test('upstreams are listed in the form that the file has', () => {
  const upstream = {
    prefix: '/weather',
    target: 'http://weather.internal/v1',
    token: 'none',
    exchange: false,
    insecure: true,
    connectTimeout: '1s',
    timeout: '2m',
    keepAliveTimeout: '1m',
    methods: ['GET', 'HEAD'],
    csrf: false,
    http2: false,
    requestCookies: ['theme'],
    responseCookies: ['theme'],
    requestHeaders: ['accept'],
    responseHeaders: ['etag'],
    connections: 10,
  }
  const description = describeConfig(loadFile({ upstreams: [upstream] }).options)
  const [, described = ''] = /^upstreams\[0\]=(.*)$/m.exec(description) ?? []
  assert.deepEqual(JSON.parse(described), upstream)
  assert.match(description, /^CONFIG_FILE=\/etc\/bff\/gateway\.json$/m)
})

test('the password of a Redis is masked in every form of its URL', () => {
  for (const [url, shown] of [
    ['redis://:hunter2@localhost', 'redis://:********@localhost'],
    ['redis://user:hunter2@hunter2/x@localhost', 'redis://user:********@localhost'],
    ['sentinel://user:hunter2@a:1,b:2/main', 'sentinel://user:********@a:1,b:2/main'],
    ['cluster://a:1,b:2', 'cluster://a:1,b:2'],
  ] as const) {
    const lines = describeConfig(load({ REDIS_URL: url }).options).split('\n')
    assert.ok(lines.includes(`REDIS_URL=${shown}`), lines.join('\n'))
  }
})
