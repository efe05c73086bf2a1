import assert from 'node:assert/strict'
import { test } from 'node:test'
import { structuredItem } from '../../../http/structured-item.ts'

test('a string or token is read, with and without parameters and quotes', () => {
  assert.equal(structuredItem('"abc"'), 'abc')
  assert.equal(structuredItem('abc'), 'abc')
  assert.equal(structuredItem(' "abc" ; a=1;b'), 'abc')
  assert.equal(structuredItem('abc;a="b"'), 'abc')
  assert.equal(structuredItem('eyJ0.eyJq.x-_x'), 'eyJ0.eyJq.x-_x')
})

test('what is no single item, too long or not closed is none', () => {
  for (const header of [
    undefined,
    '',
    '  ',
    '""',
    ';a',
    'a, b',
    '"a", "b"',
    '"a',
    '"a"b',
    '"a\\"b"',
    ['a', 'b'],
    'x'.repeat(8193),
    `"${'x'.repeat(8192)}"`,
  ])
    assert.equal(structuredItem(header), undefined, String(header).slice(0, 20))
})

test('hostile values are read in linear time', () => {
  const startedAt = performance.now()
  for (const header of [`"${';'.repeat(8000)}`, `"a"${' '.repeat(8000)}x`, `"${'\\'.repeat(8000)}`])
    assert.equal(structuredItem(header), undefined)
  assert.ok(performance.now() - startedAt < 1000)
})
