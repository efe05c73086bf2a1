import assert from 'node:assert/strict'
import { test } from 'node:test'
import { singleValues } from '../../../plugins/upstream/response-headers.ts'
import { cpuTimeOf } from '../../support/cpu-time.ts'

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
    return cpuTimeOf(() => assert.equal(singleValues({ value })['value'], value))
  }
  timeOf(1000)
  assert.ok(timeOf(200_000) < 1000)
})
