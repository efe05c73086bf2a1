import assert from 'node:assert/strict'
import { test } from 'node:test'
import { singleValues } from '../../../plugins/upstream/single-values.ts'

test('a field has one trimmed value, except cookies', () => {
  assert.deepEqual(
    singleValues({
      etag: ['"a" ', '\t"b"'],
      server: ' a \t b ',
      empty: ' \t',
      'set-cookie': ['a=1 ', 'b=2'],
    }),
    { etag: '"a", "b"', server: 'a \t b', empty: '', 'set-cookie': ['a=1', 'b=2'] },
  )
})

test('trimming a value takes linear time', () => {
  const timeOf = (length: number) => {
    const value = `a${' '.repeat(length)}b`
    const begun = performance.now()
    assert.equal(singleValues({ value })['value'], value)
    return performance.now() - begun
  }
  timeOf(1000)
  assert.ok(timeOf(200_000) < 1000)
})
