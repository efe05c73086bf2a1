import assert from 'node:assert/strict'
import { test } from 'node:test'
import { browserLocation } from '../../../plugins/upstream-proxy/location.ts'

const withBase = new URL('https://api.example.com/v1')
const withSlash = new URL('https://api.example.com/v1/')
const withoutBase = new URL('https://api.example.com')

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
  // Bytes of UTF-8, as headers hold them.
  ['/v1/caf\xc3\xa9', withBase, '/api/caf%C3%A9'],
]

for (const [location, target, seen] of below) {
  test(`below ${target.href}, so below the prefix: ${location}`, () => {
    assert.equal(browserLocation(location, target, '/api'), seen)
  })
}

const elsewhere = [
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
  test(`leads elsewhere and stays as it is: ${location}`, () => {
    assert.equal(browserLocation(location, withBase, '/api'), location)
  })
}

for (const location of ['', 'x', './x', '../x', '?page=2', '#part']) {
  test(`relative to the request's own path, which is below the prefix: '${location}'`, () => {
    assert.equal(browserLocation(location, withBase, '/api'), location)
  })
}
