import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { loadConfig } from '../../../config/index.ts'
import { options } from '../../../config/schema/index.ts'
import { documents } from '../../../docs/write.ts'
import { codeBlocks } from '../../docs/markdown.ts'
import { fakeFiles, minimal, settingNames } from './support.ts'

const root = resolve(import.meta.dirname, '../../..')
const read = (path: string) => readFileSync(resolve(root, path), 'utf8')
const written = documents(read)

for (const [path, text] of written) {
  test(`what ${path} says of options is what the schema says`, () => {
    assert.equal(read(path), text, 'npm run docs writes it anew')
  })
}

test('every variable has a row of three columns', () => {
  const [, table = ''] =
    /<!-- configuration table -->\n([\s\S]*?)\n<!--/.exec(written.get('README.md') ?? '') ?? []
  // The last two are about files with secrets and about OpenTelemetry.
  const rows = table.split('\n').slice(2, -2)
  assert.equal(rows.length, settingNames.length)
  for (const [index, row] of rows.entries())
    assert.match(row, new RegExp(`^\\| \`${settingNames[index]}\` \\| [^|]+ \\| [^|]+ \\|$`))
})

test('every default can be given as a value and changes nothing', () => {
  const defaults = options.flatMap(({ env, schema, defaultText }) =>
    schema instanceof z.ZodPrefault && !defaultText ? [[env, String(schema._zod.def.defaultValue)]] : [],
  )
  assert.ok(defaults.length > 10)
  const explicit = loadConfig({ ...minimal, ...Object.fromEntries(defaults) }, fakeFiles({}))
  assert.deepEqual(explicit, loadConfig(minimal, fakeFiles({})))
})

test('the JSON Schema accepts what the gateway accepts, and finds typing errors', () => {
  const schema = z.fromJSONSchema(JSON.parse(read('fastify-bff.schema.json')))
  const examples = ['README.md', 'docs/several-frontends.md'].flatMap((path) =>
    codeBlocks(read(path), 'json'),
  )
  const files = examples.filter((text) => text.includes('"oidc"') && !text.includes('isAuthenticated'))
  assert.equal(files.length, 2)
  for (const text of files) assert.ok(schema.parse(JSON.parse(text)))

  for (const wrong of [
    { odic: {} },
    { port: 'x' },
    { oidc: { timeout: '5' } },
    { upstreams: [{ prefix: '/api' }] },
    { upstreams: [{ prefix: '/api', target: 'https://api.example.com', token: 'admin' }] },
    { frontends: [{ port: 3000 }] },
  ])
    assert.ok(!schema.safeParse(wrong).success, JSON.stringify(wrong))
})

test('every name in braces in a message or a meaning is an option', () => {
  const known = new Set(options.map(({ key }) => key))
  // Of a template.
  for (const placeholder of ['client_id', 'return_url']) known.add(placeholder)
  const sources = globSync('config/**/*.ts', { cwd: root }).map(read).join('\n')
  const named = [...sources.matchAll(/(?<!\$)\{([a-z]\w*(?:\.\w+)?)\}/g)].map(([, key = '']) => key)
  assert.ok(named.length > 20)
  assert.deepEqual(
    named.filter((key) => !known.has(key)),
    [],
  )
})
