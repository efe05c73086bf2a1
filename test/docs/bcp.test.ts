import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { rules, unheldRules } from './rules.ts'

const root = resolve(import.meta.dirname, '../..')

test('every rule names existing code and an existing test that `npm test` runs', () => {
  const tests = globSync('test/**/*.test.ts', { cwd: root }).map((file) =>
    readFileSync(join(root, file), 'utf8'),
  )

  assert.ok(rules().length > 50)
  for (const { rule, metIn, heldBy } of rules()) {
    assert.ok(existsSync(join(root, metIn)), `${rule}: ${metIn}`)
    assert.ok(
      tests.some((text) => text.includes(`'${heldBy}'`) || text.includes(`"${heldBy}"`)),
      `${rule}: ${heldBy}`,
    )
  }
})

test('a rule whose test did not run is reported', () => {
  const titles = new Set(rules().map(({ heldBy }) => heldBy))
  assert.deepEqual(unheldRules(titles), [])
  const [first, ...others] = titles
  const unheld = unheldRules(new Set(others)).map(({ heldBy }) => heldBy)
  assert.ok(unheld.length > 0 && unheld.every((heldBy) => heldBy === first))
})
