import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Files, systemFiles } from '../../config/files.ts'
import { ConfigurationError, describeConfig, loadConfig } from '../../config/index.ts'
import { settingNames, upstreamKeys } from '../unit/config/support.ts'
import { inputs, mutationsOf, report } from './support.ts'

const key = Buffer.alloc(32, 'k').toString('base64')
const likely = fc.constantFrom(
  ...[
    '',
    '0',
    '1',
    '-1',
    '3000',
    '65536',
    'true',
    'false',
    'none',
    'info',
    '10s',
    '500ms',
    '8h',
    '400d',
    '9e9d',
  ],
  ...[
    'https://app.example.com',
    'http://localhost:3000',
    'http://127.0.0.1/x',
    'http://[::1]:1',
    'https://a@b',
    'https://',
  ],
  ...[
    'redis://127.0.0.1:6379/0',
    'rediss://u:p@h',
    'sentinel://a:1,b:2/m',
    'cluster://a:1,b:2',
    'sentinel://',
    'redis://[',
  ],
  ...[
    key,
    `${key},${key}`,
    `${key},`,
    'openid',
    'openid profile',
    'prompt=consent',
    'scope=x',
    '__Host-bff',
    'bff',
  ],
  ...[
    '10.0.0.0/8,127.0.0.1',
    'loopback',
    '::1/129',
    '{}',
    '[]',
    '/does/not/exist',
    '.',
    '\0',
    '__proto__',
    'x-csrf',
  ],
)
const piece = fc.constantFrom(...':/?#[]@!,=&% \n\t\0%1.-_a\u00e9', '://', '%zz', '__proto__', '\ud800')
const value = fc.oneof(
  likely,
  likely.chain((text) => mutationsOf(text, piece)),
  fc.string({ unit: 'binary' }),
  fc.webUrl(),
)
const needed = { OIDC_ISSUER: 'https://login.example.com', OIDC_CLIENT_ID: 'app' }
const variables = fc.dictionary(fc.constantFrom(...settingNames, 'NODE_ENV'), value, { maxKeys: 12 })
const withNeeded = fc.oneof(
  variables.map((some) => ({ ...needed, ...some })),
  variables,
)

test('any environment gives options, or an error that lists the faults', (t) => {
  let [tried, good] = [0, 0]
  fc.assert(
    fc.property(withNeeded, (environment) => {
      tried++
      if (load(environment, systemFiles)) good++
    }),
    inputs(3000),
  )
  assert.ok(good > 0)
  report(t, { configurations: tried, good })
})

const tree = fc.oneof(
  fc.json(),
  fc.string(),
  fc
    .dictionary(fc.oneof(fc.constantFrom(...settingNames), fc.string()), fc.jsonValue())
    .map((it) => JSON.stringify(it)),
  fc
    .array(
      fc.dictionary(
        fc.constantFrom(...upstreamKeys),
        fc.oneof(value, fc.jsonValue(), fc.constantFrom('/api', '/x', 'user', 'none', ['a'])),
      ),
      { maxLength: 3 },
    )
    .map((upstreams) => JSON.stringify({ upstreams })),
  fc.jsonValue().map((upstreams) => JSON.stringify({ upstreams })),
  fc.jsonValue().map((entry) => JSON.stringify({ upstreams: [entry] })),
)

test('any configuration file gives options, or an error that lists the faults', (t) => {
  let [tried, good] = [0, 0]
  fc.assert(
    fc.property(tree, (text) => {
      tried++
      const files: Files = { ...systemFiles, readText: () => text }
      if (load({ ...needed, CONFIG_FILE: 'config.json' }, files)) good++
    }),
    inputs(3000),
  )
  assert.ok(good > 0)
  report(t, { configurations: tried, good })
})

/** @returns whether it was valid; if so, it can be described too */
function load(environment: Record<string, string>, files: Files): boolean {
  try {
    const { options } = loadConfig(environment, files)
    assert.ok(describeConfig(options))
    return true
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error instanceof Error ? error.stack : error))
    assert.notEqual(error.message, '')
    return false
  }
}
