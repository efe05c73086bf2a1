import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import type { z } from 'zod'
import { type BffConfiguration, resolveOptions, withoutRegisterOptions } from '../../../config/index.ts'
import type { pluginSchema } from '../../../config/schema/index.ts'
import { assertFault, fakeFiles, faultsOf, key, loadFile } from './support.ts'

const least: BffConfiguration = {
  publicUrl: 'https://app.example.com',
  oidc: { issuer: 'https://login.example.com', clientId: 'app' },
  session: { keys: key },
}

test('minimal plugin options get the defaults of the configuration', () => {
  const { options } = resolveOptions(least)
  const file = loadFile(least, {
    NODE_ENV: 'production',
    OIDC_ISSUER: '',
    OIDC_CLIENT_ID: '',
    SESSION_KEYS: '',
  })

  const { configFile, ...rest } = file.options
  assert.equal(configFile, '/etc/bff/gateway.json')
  assert.deepEqual(options, rest)
})

test('URLs, parameters and keys can be objects', () => {
  const { options } = resolveOptions({
    ...least,
    publicUrl: new URL('https://app.example.com/base'),
    oidc: {
      issuer: new URL('https://login.example.com'),
      clientId: 'app',
      authorizationParams: new URLSearchParams({ acr_values: 'mfa' }),
      timeout: '2s',
    },
    session: { keys: [Buffer.alloc(32, 1), Buffer.alloc(32, 2).toString('base64')] },
    upstreams: [{ prefix: '/api', target: new URL('https://api.example.com'), timeout: '1m' }],
  })

  assert.equal(options.publicUrl.href, 'https://app.example.com/base')
  assert.equal(options.oidc.authorizationParams.get('acr_values'), 'mfa')
  assert.equal(options.oidc.timeoutMs, 2000)
  assert.deepEqual(options.session.keys, [Buffer.alloc(32, 1), Buffer.alloc(32, 2)])
  assert.equal(options.upstreams[0]?.timeoutMs, 60_000)
})

test('options that are undefined count as not given', () => {
  const { options } = resolveOptions({ ...least, redisUrl: undefined, cookie: undefined } as never)
  assert.equal(options.cookie.name, '__Host-bff')
})

test('all faults are reported at once, by their path in the options', () => {
  const faults = faultsOf(() =>
    resolveOptions({
      ...least,
      oidc: { issuer: 'login', clientId: 'app', timeout: 'soon' as never },
      upstreams: [{ prefix: 'api', target: 'https://api.example.com' }],
    }),
  )
  assert.deepEqual(
    faults.map((fault) => fault.split(' ')[0]),
    ['oidc.issuer', 'oidc.timeout', 'upstreams[0].prefix'],
  )
})

test('messages and warnings name options, never variables', () => {
  const app = { publicUrl: 'https://app.example.com', session: { keys: key } }
  const wrong = {
    oidc: {
      ...least.oidc,
      clientSecret: 'a',
      clientPrivateKeyFile: '/nowhere',
      authorizationParams: 'scope=a',
    },
    session: { keys: ['a', 'b'], idleTimeout: '2d' as const, lifetime: '1d' as const },
    cookie: { name: 'a b' },
    apiUrl: 'https://api.example.com',
    upstreams: [{ prefix: '/api', target: 'https://api.example.com' }],
    odic: {},
  }
  const faults = faultsOf(() => resolveOptions({ ...app, ...wrong } as BffConfiguration))
  assert.equal(faults.length, 9, faults.join('\n'))
  assert.ok(
    faults.includes('odic is no option: did you mean oidc.scope?') ||
      faults.some((it) => it.startsWith('odic ')),
  )

  const { warnings } = resolveOptions({ ...least, cookie: { name: 'shop' }, requireLogin: true })
  assert.equal(warnings.length, 4, warnings.join('\n'))
  for (const text of [...faults, ...warnings]) assert.doesNotMatch(text, /[A-Z]_[A-Z]|\{/)
})

test('options that must be the same at the next start are required', () => {
  assert.match(
    faultsOf(() => resolveOptions({ ...least, session: {} as never })).join(),
    /^session\.keys is missing: make one with/,
  )
  assert.match(faultsOf(() => resolveOptions({ ...least, publicUrl: '' })).join(), /^publicUrl is missing/)
})

test('options of the server are refused in plugin mode', () => {
  assertFault(
    () => resolveOptions({ ...least, port: 3000 } as never),
    /^port is for the server of the application/,
  )
})

test("options of Fastify's register are no faults", () => {
  const given = { ...least, prefix: '/x', logLevel: 'warn', logSerializers: {} }
  assert.deepEqual(withoutRegisterOptions(given), least)
})

test('paths are relative to the working directory', () => {
  const files = fakeFiles({ [resolve('public/index.html')]: '' })
  assert.equal(resolveOptions({ ...least, staticDir: 'public' }, files).options.staticDir, resolve('public'))
})

test('the plugin has the types that the schema has', () => {
  // The compiler compares the types, in both directions.
  const written: BffConfiguration = least as z.input<typeof pluginSchema>
  const inferred: z.input<typeof pluginSchema> = written
  assert.equal(inferred, least)
})
