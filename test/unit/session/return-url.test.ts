import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { localPath } from '../../../plugins/login/return-url.ts'
import { openRedirects } from '../../support/corpus.ts'

const origins = ['https://app.example.com', 'http://localhost:3000']
const [origin = ''] = origins

test('every URL of the open-redirect corpus is refused', () => {
  const corpus = openRedirects()
  assert.ok(corpus.length >= 500)
  assert.equal(new Set(corpus).size, corpus.length)
  for (const hostile of corpus) {
    for (const own of origins) assert.equal(localPath(hostile, own), undefined, JSON.stringify(hostile))
  }
})

test('a local path is kept as it is, with query and fragment', () => {
  for (const path of [
    '/',
    '/start',
    '/start/',
    '/a//b',
    '/a.b/c;d=1/@me',
    '/start?x=1&y=a%20b#part',
    '/?next=//evil.example',
    '/search?q=https://evil.example',
    '/#//evil.example',
    '/files/C%3A%5Ctemp',
    '/100%25',
    '/100%',
    '/@me',
    '/:80',
    '/http://evil.example',
  ]) {
    assert.equal(localPath(path, origin), path)
  }
})

test('dot segments are resolved, and characters invalid in a header are percent-encoded', () => {
  assert.equal(localPath('/a/../b/./c', origin), '/b/c')
  assert.equal(localPath('/../..', origin), '/')
  assert.equal(localPath('/für alle?x=é', origin), '/f%C3%BCr%20alle?x=%C3%A9')
  assert.equal(localPath('/\u2028', origin), '/%E2%80%A8')
})

test('a return URL that is not a single string is refused', () => {
  for (const value of [undefined, null, 1, true, {}, ['/a', '/b'], ['/a']]) {
    assert.equal(localPath(value, origin), undefined)
  }
})

test('a path too long for a cookie is refused, also if only its encoded form is', () => {
  assert.equal(localPath(`/${'x'.repeat(1999)}`, origin)?.length, 2000)
  assert.equal(localPath(`/${'x'.repeat(2000)}`, origin), undefined)
  assert.equal(localPath(`/${'€'.repeat(223)}`, origin), undefined)
})

test('every accepted return URL stays on the origin, however it is resolved, escaped or not', () => {
  const piece = fc.constantFrom(
    '/',
    '//',
    '\\',
    '.',
    '..',
    '%2f',
    '%5c',
    '%2e',
    '%09',
    '\t',
    '@',
    ':',
    'x.y',
    '?',
  )
  const paths = fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join('')}`)
  fc.assert(
    fc.property(paths, (text) => {
      const path = localPath(text, origin)
      if (path === undefined) return
      assert.equal(new URL(path, origin).origin, origin)
      assert.equal(new URL(decodeURIComponent(new URL(path, origin).pathname), origin).origin, origin)
      assert.equal(localPath(path, origin), path)
    }),
    { numRuns: 2000 },
  )
})
