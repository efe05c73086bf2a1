import assert from 'node:assert/strict'
import { test } from 'node:test'
import { staysBelow } from '../../../http/path.ts'
import { pathTraversals } from '../../support/corpus.ts'

const traversals = pathTraversals()

test('the corpus of traversals is not empty', () => {
  assert.ok(traversals.length >= 300)
  assert.equal(new Set(traversals).size, traversals.length)
})

test('every path of the traversal corpus is refused', () => {
  assert.deepEqual(
    traversals.filter((path) => staysBelow(`/api${path}`)),
    [],
  )
})

test('a path with .. that stays below is refused too', () => {
  assert.equal(staysBelow('/api/a/b/../c'), false)
})

const harmless = [
  '',
  '/',
  '/api',
  '/api/',
  '/api/a.b',
  '/api/...',
  '/api/....//x',
  '/api/.hidden',
  '/api/a..b',
  '/api/..a/b',
  '/api/a../b',
  '/api/[...slug]',
  '/api/./x',
  '/api//x',
  '/api/a%2Fb',
  '/api/a%2fb%5Cc',
  '/api/%00',
  '/api/%252e%252e%252f',
  '/api/%25252e',
  '/api/caf%C3%A9',
  '/api/%E2%80%A6',
  '/api/%EF%BC%8E%EF%BC%8E',
  '/api/a;b=c',
  '/api/caf%E9',
  '/api/F%FC%DFe/%e4%F6',
  '/api/%ff/x',
  '/api/%fe%fe',
  '/api/%80%85',
  '/api/;..',
  '/api/.;/x',
  '/api/a%20b+c',
  '/api/a%3Fb%23c',
  "/api/~!$&'()*,=:@|^`{}",
]

for (const path of harmless) {
  test(`stays below: ${path || 'the empty path'}`, () => assert.ok(staysBelow(path)))
}
