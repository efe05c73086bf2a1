import assert from 'node:assert/strict'
import { test } from 'node:test'
import { privateCacheControl } from '../../../plugins/upstream/cache-rules.ts'

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
  // These speak of single headers, so they leave the rest shared.
  ['private="set-cookie"', 'private'],
  ['private="set-cookie, x-user", max-age=60', 'private, max-age=60'],
  ['no-cache="set-cookie, x-user"', 'private, no-cache="set-cookie, x-user"'],
  ['no-cache="a, public", max-age=1', 'private, no-cache="a, public", max-age=1'],
  ['ext="a\\", public", max-age=1', 'private, ext="a\\", public", max-age=1'],
  // Nobody says what a quote without an end means: nothing shared comes of it.
  ['ext="a, public', 'private, ext="a, public'],
  ['"', 'private, "'],
]

for (const [from, to] of table) {
  test(`Cache-Control '${from}' becomes '${to}'`, () => assert.equal(privateCacheControl(from, false), to))
}

test('no Cache-Control, but another word on caching: private', () => {
  assert.equal(privateCacheControl(undefined, true), 'private')
  assert.equal(privateCacheControl('', true), 'private')
})

test('a Cache-Control that says something is not changed by another word on caching', () => {
  assert.equal(privateCacheControl('no-store', true), 'no-store')
})

test('a long header is judged in no time', () => {
  const hostile = `${'"\\'.repeat(8000)}${'"a,'.repeat(8000)}`
  const startedAt = performance.now()
  assert.match(privateCacheControl(hostile, false), /^private, /)
  assert.ok(performance.now() - startedAt < 500)
})
