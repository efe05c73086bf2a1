import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { codeSpans, fileLinks, tableRows } from './markdown.ts'

const root = resolve(import.meta.dirname, '../..')
const bcp = readFileSync(join(root, 'docs/bcp.md'), 'utf8')
const rows = tableRows(bcp, '| Rule | Met in | Held by |')

test('every rule names code that exists and a test that does, which no suite leaves out', () => {
  const tests = globSync('test/**/*.test.ts', { cwd: root }).map((file) =>
    readFileSync(join(root, file), 'utf8'),
  )

  assert.ok(rows.length > 30)
  for (const [rule = '', metIn = '', heldBy = ''] of rows) {
    const [path = ''] = codeSpans(metIn)
    const [title = ''] = codeSpans(heldBy)
    assert.ok(existsSync(join(root, path)), `${rule}: ${path}`)
    assert.ok(
      tests.some((text) => text.includes(`test('${title}'`) || text.includes(`test(\n  '${title}'`)),
      `${rule}: ${title}`,
    )
  }
})

test('links of the documents lead to files', () => {
  for (const document of ['SECURITY.md', 'docs/bcp.md', 'docs/renewal.md']) {
    const folder = join(root, document, '..')
    const broken = fileLinks(readFileSync(join(root, document), 'utf8')).filter(
      (target) => !existsSync(resolve(folder, target)),
    )
    assert.deepEqual(broken, [], document)
  }
})
