import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeConfig } from '../../../plugins/config/describe-config.ts'
import { settingNames } from '../../../plugins/config/settings.ts'
import { selfSignedCertificate } from '../../support/certificate.ts'
import { key, load, loadFile } from './support.ts'

test('the least configuration is described with all its defaults, in the order of the documents', () => {
  assert.equal(
    describeConfig(load().options),
    `PUBLIC_URL=http://localhost:3000
HOST=0.0.0.0
PORT=3000
TLS_CERT_FILE=
TLS_KEY_FILE=
TRUST_PROXY=false
LOG_LEVEL=info
OIDC_ISSUER=https://login.example.com
OIDC_CLIENT_ID=gateway
OIDC_CLIENT_SECRET=
OIDC_CLIENT_PRIVATE_KEY_FILE=
OIDC_SCOPE=openid profile email offline_access
OIDC_AUTHORIZATION_PARAMS=
OIDC_TIMEOUT=5s
SESSION_KEYS=********
SESSION_IDLE_TIMEOUT=8h
SESSION_LIFETIME=7d
SESSION_MAX_PER_USER=100
COOKIE_NAME=bff
COOKIE_SAMESITE=strict
REDIS_URL=
REDIS_CA_FILE=
REDIS_CERT_FILE=
REDIS_KEY_FILE=
REDIS_SENTINEL_PASSWORD=
STORE_TIMEOUT=5s
REFRESH_BEFORE_EXPIRATION=1m
API_URL=
CONFIG_FILE=
STATIC_DIR=
FRONTEND_URL=
REQUIRE_LOGIN=false
CORS_ORIGINS=
CSRF_HEADER=x-csrf
METRICS_PORT=
METRICS_HOST=0.0.0.0
KEEP_ALIVE_TIMEOUT=75s
SHUTDOWN_DELAY=5s
SHUTDOWN_TIMEOUT=30s`,
  )
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
  REQUIRE_LOGIN: 'true',
  CORS_ORIGINS: 'https://a.example.com,https://b.example.com',
  CSRF_HEADER: 'x-requested-by',
  METRICS_PORT: '9090',
  METRICS_HOST: '10.0.0.1',
  KEEP_ALIVE_TIMEOUT: '2m',
  SHUTDOWN_DELAY: '0s',
  SHUTDOWN_TIMEOUT: '10s',
}

test('what is described can be loaded again, but for the secrets', () => {
  const { cert, key } = selfSignedCertificate()
  const texts = { '/srv/app/index.html': '', '/srv/tls.crt': cert, '/srv/tls.key': key }
  const lines = describeConfig(load(full, texts).options).split('\n')
  const described = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
  const { 'upstreams[0]': upstream, ...variables } = described
  assert.deepEqual(variables, {
    ...full,
    OIDC_CLIENT_SECRET: '********',
    OIDC_CLIENT_PRIVATE_KEY_FILE: '',
    SESSION_KEYS: '********,********',
    FRONTEND_URL: '',
    REDIS_URL: 'sentinels://shop:********@redis.example.com/main/2',
    REDIS_SENTINEL_PASSWORD: '********',
    CONFIG_FILE: '',
  })
  assert.deepEqual(Object.keys(variables), settingNames)
  assert.ok(upstream?.startsWith('{"prefix":"/api","target":"https://api.example.com/v1","token":"user"'))
})

test('a development server is described as it was given', () => {
  const lines = describeConfig(load({ FRONTEND_URL: 'http://localhost:5173/' }).options).split('\n')
  assert.ok(lines.includes('FRONTEND_URL=http://localhost:5173'), lines.join('\n'))
})

test('upstreams are listed as the file would say them', () => {
  const upstream = {
    prefix: '/weather',
    target: 'http://weather.internal/v1',
    token: 'none',
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
  const environment = { CONFIG_FILE: '/etc/bff/gateway.json' }
  const description = describeConfig(loadFile({ upstreams: [upstream] }).options, environment)
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
