import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deriveKeys } from '../../../plugins/session/sealing.ts'

const keys = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]

test('for each purpose keys are derived from the session keys, in the same order', () => {
  const [first, second] = deriveKeys(keys, 'a')
  assert.deepEqual(deriveKeys(keys, 'a'), [first, second])
  assert.deepEqual(deriveKeys(keys.toReversed(), 'a'), [second, first])
  const all = [...keys, ...deriveKeys(keys, 'a'), ...deriveKeys(keys, 'b')]
  assert.equal(new Set(all.map((key) => key.toString('hex'))).size, 6)
  assert.ok(all.every(({ length }) => length === 32))
})
