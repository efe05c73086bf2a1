import assert from 'node:assert/strict'
import { test } from 'node:test'
import { privateCacheControl } from '../../../plugins/upstream/response-headers.ts'
import { cpuTimeOf } from '../../support/cpu-time.ts'

const table: [from: string, to: string][] = [
  ['', 'no-store'],
  [' ', 'no-store'],
  [',, ,', 'no-store'],
  ['public', 'private'],
  ['PUBLIC', 'private'],
  ['s-maxage=60', 'private'],
  ['S-MaxAge = 60', 'private'],
  ['proxy-revalidate', 'private'],
  ['public, max-age=60', 'private, max-age=60'],
  ['max-age=60', 'private, max-age=60'],
  ['max-age=60, s-maxage=600, public', 'private, max-age=60'],
  ['max-age=60,s-maxage="600"', 'private, max-age=60'],
  ['private, max-age=60', 'private, max-age=60'],
  ['max-age=60, Private', 'max-age=60, Private'],
  ['no-store', 'no-store'],
  ['No-Store', 'No-Store'],
  ['no-store, public', 'no-store'],
  ['no-cache', 'private, no-cache'],
  ['no-cache, no-store, must-revalidate', 'no-cache, no-store, must-revalidate'],
  ['must-revalidate, max-age=0', 'private, must-revalidate, max-age=0'],
  ['immutable, max-age=31536000', 'private, immutable, max-age=31536000'],
  ['stale-while-revalidate=30, max-age=5', 'private, stale-while-revalidate=30, max-age=5'],
  // These concern single fields, so the answer stays shared.
  ['private="set-cookie"', 'private'],
  ['private="set-cookie, x-user", max-age=60', 'private, max-age=60'],
  ['no-cache="set-cookie, x-user"', 'private, no-cache="set-cookie, x-user"'],
  ['no-cache="a, public", max-age=1', 'private, no-cache="a, public", max-age=1'],
  ['ext="a\\", public", max-age=1', 'private, ext="a\\", public", max-age=1'],
  // An unclosed quote has no defined meaning, so the answer is not shared.
  ['ext="a, public', 'private, ext="a, public'],
  ['"', 'private, "'],
]

for (const [from, to] of table) {
  test(`Cache-Control '${from}' becomes '${to}'`, () => assert.equal(privateCacheControl(from, false), to))
}

test('without Cache-Control but with another caching header an answer is private', () => {
  assert.equal(privateCacheControl(undefined, true), 'private')
  assert.equal(privateCacheControl('', true), 'private')
})

test('a Cache-Control with directives is not changed by another caching header', () => {
  assert.equal(privateCacheControl('no-store', true), 'no-store')
})

test('a long header takes linear time', () => {
  const hostile = `${'"\\'.repeat(8000)}${'"a,'.repeat(8000)}`
  assert.ok(cpuTimeOf(() => assert.match(privateCacheControl(hostile, false), /^private, /)) < 500)
})
