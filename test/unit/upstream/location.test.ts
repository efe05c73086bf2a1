import assert from 'node:assert/strict'
import { test } from 'node:test'
import { browserLinks, browserLocation } from '../../../plugins/upstream/location.ts'

const withBase = new URL('https://api.example.com/v1')
const withSlash = new URL('https://api.example.com/v1/')
const withoutBase = new URL('https://api.example.com')

const publicOrigin = 'https://app.example.com'

function seenBy(location: string, target: URL, prefix = '/api') {
  return browserLocation(location, { target, publicOrigin, prefix })
}

const below: [location: string, target: URL, seen: string][] = [
  ['/v1/x', withBase, '/api/x'],
  ['/v1/x', withSlash, '/api/x'],
  ['/v1', withBase, '/api'],
  ['/v1/', withBase, '/api/'],
  ['/x', withoutBase, '/api/x'],
  ['/', withoutBase, '/api/'],
  ['https://api.example.com/v1/x', withBase, '/api/x'],
  ['HTTPS://API.EXAMPLE.COM:443/v1/x', withBase, '/api/x'],
  ['//api.example.com/v1/x', withBase, '/api/x'],
  ['https://user:secret@api.example.com/v1/x', withBase, '/api/x'],
  ['/v1/a%2Fb?c=%20+&d#e', withBase, '/api/a%2Fb?c=%20+&d#e'],
  ['/v1/a/../b', withBase, '/api/b'],
  // The bytes of UTF-8, as Node reads headers.
  ['/v1/caf\xc3\xa9', withBase, '/api/caf%C3%A9'],
]

for (const [location, target, seen] of below) {
  test(`a location below ${target.href} becomes one below the prefix: ${location}`, () => {
    assert.equal(seenBy(location, target), seen)
  })
}

const prefixAware: [location: string, target: URL, seen: string][] = [
  ['/api/v1/x', withBase, '/api/x'],
  ['/api/v1', withBase, '/api'],
  ['/api/v1/x?a=/v1#b', withSlash, '/api/x?a=/v1#b'],
  ['/api/x', withoutBase, '/api/x'],
  ['/api', withoutBase, '/api'],
  ['/apix', withoutBase, '/api/apix'],
  ['https://app.example.com/api/v1/x', withBase, 'https://app.example.com/api/x'],
  ['HTTPS://APP.example.com:443/api/v1/x', withBase, 'https://app.example.com/api/x'],
  ['//app.example.com/api/v1/x', withBase, 'https://app.example.com/api/x'],
  ['https://app.example.com/api/x', withoutBase, 'https://app.example.com/api/x'],
]

for (const [location, target, seen] of prefixAware) {
  test(`a location that an API made from X-Forwarded-Prefix, below ${target.href}: ${location}`, () => {
    assert.equal(seenBy(location, target), seen)
  })
}

test('with a path in the public URL, that path is part of X-Forwarded-Prefix', () => {
  assert.equal(seenBy('/app/api/v1/x', withBase, '/app/api'), '/app/api/x')
  assert.equal(seenBy('/v1/x', withBase, '/app/api'), '/app/api/x')
})

test('each URL of a Link header is mapped, and the rest is unchanged', () => {
  const places = { target: withBase, publicOrigin, prefix: '/api' }
  const link =
    '<https://api.example.com/v1/x?page=2>; rel="next", </v1/x>;rel=first;title="a, </v1/y>; \\" b", <https://other.example/>; rel="x"; anchor="/v1/z", <y?page=3>; rel=last'
  assert.equal(
    browserLinks(link, places),
    '</api/x?page=2>; rel="next", </api/x>;rel=first;title="a, </v1/y>; \\" b", <https://other.example/>; rel="x"; anchor="/api/z", <y?page=3>; rel=last',
  )
  for (const odd of ['', '<', '<>', '<a', 'a>', '"<', '<http://[>; rel=x'])
    assert.equal(browserLinks(odd, places), odd)
})

const elsewhere = [
  // A page of the frontend, or a path that an API with another base path already sees as the browser does.
  'https://app.example.com/orders/1',
  'https://app.example.com/v1/x',
  'https://app.example.com/api/x',
  'http://app.example.com/api/v1/x',
  '/api/x',
  '/',
  '/login',
  '/v10/x',
  '/v1/../x',
  '/V1/x',
  'http://api.example.com/v1/x',
  'https://api.example.com:8443/v1/x',
  'https://api.example.com.evil.example/v1/x',
  'https://login.example.com/v1/x',
  '//evil.example/v1/x',
  'https://api.example.com@evil.example/v1/',
  'mailto:a@example.com',
  'http://[',
]

for (const location of elsewhere) {
  test(`a location elsewhere is unchanged: ${location}`, () => {
    assert.equal(seenBy(location, withBase), location)
  })
}

for (const location of ['', 'x', './x', '../x', '?page=2', '#part']) {
  test(`a location relative to the request's path is unchanged: '${location}'`, () => {
    assert.equal(seenBy(location, withBase), location)
  })
}
