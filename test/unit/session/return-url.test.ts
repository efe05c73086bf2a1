import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { allowedReturnUrl, localPath } from '../../../plugins/login/return-url.ts'
import { openRedirects } from '../../support/corpus.ts'

const origins = ['https://app.example.com', 'http://localhost:3000']
const [origin = ''] = origins

test('every URL of the open-redirect corpus is refused', (t) => {
  const corpus = openRedirects()
  t.diagnostic(`${corpus.length} URLs`)
  assert.ok(corpus.length >= 500)
  assert.equal(new Set(corpus).size, corpus.length)
  for (const hostile of corpus) {
    for (const own of origins) assert.equal(localPath(hostile, own), undefined, JSON.stringify(hostile))
  }
})

test('of the corpus, only what begins with a listed origin is somewhere to go', (t) => {
  const publicUrl = new URL('https://gateway.example.com')
  const listed = ['https://app.example.com', 'http://localhost:3000', 'capacitor://localhost']
  const accepted = openRedirects().filter((hostile) =>
    allowedReturnUrl(hostile, { publicUrl, corsOrigins: listed }),
  )
  t.diagnostic(`${accepted.length} of ${openRedirects().length} URLs begin with a listed origin`)
  for (const url of accepted) {
    const { origin } = new URL(String(allowedReturnUrl(url, { publicUrl, corsOrigins: listed })))
    assert.ok(listed.includes(origin), url)
    assert.match(url, /^(https:\/\/app\.example\.com|http:\/\/localhost:3000)([/?#]|$)/)
  }
  assert.ok(accepted.includes('https://app.example.com/start'))
  assert.deepEqual(
    openRedirects().filter((url) => allowedReturnUrl(url, { publicUrl, corsOrigins: [] })),
    [],
  )
  for (const evil of openRedirects()) {
    // As if the list had what an attacker would like it to have.
    const near = ['https://app.example.co', 'https://example.com', 'https://localhost:3000']
    assert.equal(allowedReturnUrl(evil, { publicUrl, corsOrigins: near }), undefined, evil)
  }
})

test('a URL of a listed origin is kept as it is', () => {
  const corsOrigins = ['https://spa.example.com', 'https://spa.example.com:8443', 'capacitor://localhost']
  const options = { publicUrl: new URL('https://gateway.example.com'), corsOrigins }
  for (const url of [
    'https://spa.example.com/',
    'https://spa.example.com/start?x=1#y',
    'https://spa.example.com:8443/a',
    'capacitor://localhost/a?b#c',
    '/start',
  ]) {
    assert.equal(allowedReturnUrl(url, options), url)
  }
  assert.equal(allowedReturnUrl('https://spa.example.com', options), 'https://spa.example.com/')
  assert.equal(allowedReturnUrl('https://spa.example.com?x', options), 'https://spa.example.com/?x')
  assert.equal(allowedReturnUrl('https://spa.example.com#x', options), 'https://spa.example.com/#x')
  for (const url of [
    'https://spa.example.com:80/',
    'https://spa.example.com:443/',
    'HTTPS://spa.example.com/',
    'https://SPA.example.com/',
    'http://spa.example.com/',
    'https:/spa.example.com/',
    'https://spa.example.com@evil.example/',
    'https://spa.example.com.evil.example/',
    'https://spa.example.com\\.evil.example/',
    'https://spa.example.com\t.evil.example/',
    ' https://spa.example.com/',
    'https://spa.example.com//evil.example',
    'https://spa.example.com/..//evil.example',
    'https://spa.example.com/%2f/evil.example',
    'https://gateway.example.com/',
    'capacitor://localhost.evil.example/',
    ['https://spa.example.com/'],
  ]) {
    assert.equal(allowedReturnUrl(url, options), undefined, String(url))
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

test('a path of more than 8 KiB is refused, also if only its encoded form is', () => {
  assert.equal(localPath(`/${'x'.repeat(8191)}`, origin)?.length, 8192)
  assert.equal(localPath(`/${'x'.repeat(8192)}`, origin), undefined)
  assert.equal(localPath(`/${'€'.repeat(911)}`, origin), undefined)
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
