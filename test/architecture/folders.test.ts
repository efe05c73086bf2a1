import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'

function check(t: TestContext, files: Record<string, string>) {
  const root = mkdtempSync(join(tmpdir(), 'fastify-bff-folders-'))
  t.after(() => rmSync(root, { recursive: true }))
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
  const script = join(import.meta.dirname, 'check-folders.ts')
  return spawnSync(process.execPath, [script, '--root', root], { encoding: 'utf8' })
}

test('folders that import each other in a circle are found, type imports too, and the imports are named', (t) => {
  const { status, stderr } = check(t, {
    'plugins/a/index.ts': `import { b } from '../b/b.ts'`,
    'plugins/b/b.ts': `import type { C } from '../c/c.ts'`,
    'plugins/c/c.ts': `import { a } from '../a/index.ts'`,
  })
  assert.equal(status, 1)
  assert.match(stderr, /circle: plugins\/(a|b|c)( → plugins\/(a|b|c)){3}$/m)
  assert.match(stderr, /plugins\/c\/c\.ts imports plugins\/a\/index\.ts/)
})

test('folders that import only folders below them pass the check', (t) => {
  const { status, stdout } = check(t, {
    'app.ts': `import { a } from './plugins/a/index.ts'`,
    'plugins/a/index.ts': `import { b } from '../b/b.ts'\nimport { own } from './own.ts'`,
    'plugins/a/own.ts': `import { b } from '../b/b.ts'`,
    'plugins/b/b.ts': '',
  })
  assert.equal(status, 0)
  assert.match(stdout, /3 folders, no circle/)
})
