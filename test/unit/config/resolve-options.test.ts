import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import type { BffConfiguration } from '../../../plugins/config/bff-options.ts'
import { simplify } from '../../../plugins/config/nearest.ts'
import { resolveOptions, withoutRegisterOptions } from '../../../plugins/config/resolve-options.ts'
import { serverSettings } from '../../../plugins/config/server-settings.ts'
import { settingNames } from '../../../plugins/config/settings.ts'
import { upstreamKeys } from '../../../plugins/config/upstream-schema.ts'
import { assertFault, fakeFiles, faultsOf, key, loadFile } from './support.ts'

const least: BffConfiguration = {
  publicUrl: 'https://app.example.com',
  oidc: { issuer: 'https://login.example.com', clientId: 'app' },
  session: { keys: key },
}

test('the least that the plugin is told has the defaults of the configuration', () => {
  const { options } = resolveOptions(least)
  const file = loadFile(least, {
    NODE_ENV: 'production',
    OIDC_ISSUER: '',
    OIDC_CLIENT_ID: '',
    SESSION_KEYS: '',
  })

  assert.deepEqual(options, file.options)
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

test('members that are undefined are as good as none', () => {
  const { options } = resolveOptions({ ...least, redisUrl: undefined, cookie: undefined } as never)
  assert.equal(options.cookie.name, '__Host-bff')
})

test('every fault is told at once, by its place in the options', () => {
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

test('what must be the same at the next start is not made up', () => {
  assert.match(
    faultsOf(() => resolveOptions({ ...least, session: {} as never })).join(),
    /SESSION_KEYS is missing/,
  )
  assert.match(faultsOf(() => resolveOptions({ ...least, publicUrl: '' })).join(), /PUBLIC_URL is missing/)
})

test("what the application's server decides is refused", () => {
  assertFault(
    () => resolveOptions({ ...least, port: 3000 } as never),
    /^port \(PORT\) in the options is for the server/,
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

test('every variable but those of the server is an option of the plugin, and every key of an upstream', () => {
  const source = readFileSync(join(import.meta.dirname, '../../../plugins/config/bff-options.ts'), 'utf8')
  const members = [...source.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name = '']) => name)

  for (const setting of settingNames.filter((name) => !serverSettings.includes(name)))
    assert.ok(
      members.some((name) => simplify(setting).endsWith(simplify(name))),
      setting,
    )
  for (const name of upstreamKeys) assert.ok(members.includes(name), name)
})
