import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { test } from 'node:test'
import { traceVariables } from '../../plugins/observability/tracing/settings.ts'
import { secretNames, settingNames } from '../unit/config/support.ts'
import { anchors, codeBlocks, codeSpans, links } from './markdown.ts'

const root = resolve(import.meta.dirname, '../..')
const documents = globSync(['*.md', 'docs/*.md'], { cwd: root }).map((name) => ({ name, text: read(name) }))

/** Of the demo, compose.yaml, the tests and Node. */
const otherVariables = [
  'NODE_ENV',
  'NODE_EXTRA_CA_CERTS',
  'DEMO_IDP_PORT',
  'DEMO_API_PORT',
  'FILES_DIR',
  'CHROMIUM_PATH',
  'FIREFOX_PATH',
]

test('every document is checked', () => {
  const names = documents.map(({ name }) => name)
  for (const name of ['README.md', 'SECURITY.md', 'docs/upstreams.md']) assert.ok(names.includes(name), name)
})

test('every npm command in the documents exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }

  for (const { name, text } of documents) {
    const named = [...text.matchAll(/\bnpm (?:run ([\w:-]+)|(test|start)\b)/g)]
    const unknown = named
      .map(([, script, short]) => script ?? short ?? '')
      .filter((script) => !(script in scripts))
    assert.deepEqual(unknown, [], name)
  }
})

test('every link leads to a file, and to a heading of it', () => {
  for (const { name, text } of documents) {
    const broken = links(text).filter(({ path, fragment }) => {
      const target = path ? resolve(root, dirname(name), path) : resolve(root, name)
      if (!existsSync(target)) return true
      return fragment !== '' && !anchors(readFileSync(target, 'utf8')).includes(fragment)
    })
    assert.deepEqual(broken, [], name)
  }
})

test('the README leads to every document', () => {
  const targets = links(read('README.md')).map(({ path }) => path)
  const unlinked = documents.filter(({ name }) => name !== 'README.md' && !targets.includes(name))
  assert.deepEqual(
    unlinked.map(({ name }) => name),
    [],
  )
})

test('every repository file that the documents name exists', () => {
  for (const { name, text } of documents) {
    const paths = codeSpans(text).filter((span) =>
      /^(config|headers|plugins|routes|test|demo|deploy)\/[\w./-]+$/.test(span),
    )
    assert.deepEqual(
      paths.filter((path) => !existsSync(resolve(root, path))),
      [],
      name,
    )
  }
})

test('every variable that the documents name exists', () => {
  const known = new Set<string>([
    ...settingNames,
    ...secretNames.map((name) => `${name}_FILE`),
    ...otherVariables,
    ...traceVariables,
  ])
  for (const { name, text } of documents) {
    const variables = codeSpans(text).filter((span) => /^[A-Z]+(_[A-Z]+)+$/.test(span))
    assert.deepEqual(
      variables.filter((variable) => !variable.startsWith('BFF_') && !known.has(variable)),
      [],
      name,
    )
  }
})

test('every JSON example is valid JSON, the bodies of the HTTP examples included', () => {
  const all = documents.map(({ text }) => text)
  const examples = all.flatMap((text) => codeBlocks(text, 'json'))
  const bodies = all
    .flatMap((text) => codeBlocks(text, 'http'))
    .flatMap((block) => block.split('\n').filter((line) => /^[{[]/.test(line)))

  assert.ok(examples.length > 0 && bodies.length > 0)
  for (const text of [...examples, ...bodies]) JSON.parse(text)
})

test('the map of the repository has each folder of the production code', () => {
  const contributing = read('CONTRIBUTING.md')
  const folders = globSync(['{config,http,lib}', 'plugins/**/', 'routes/*/'], { cwd: root })
  const names = folders.map((path) => path.replace(/\/$/, '').split('/').at(-1))
  assert.ok(names.length > 25)
  assert.deepEqual(
    names.filter((name) => !new RegExp(`^ +${name}/ `, 'm').test(contributing)),
    ['plugins'],
  )
})

function read(path: string): string {
  return readFileSync(resolve(root, path), 'utf8')
}
