import assert from 'node:assert/strict'
import { test } from 'node:test'
import { destinationOf } from '../../../plugins/application/upstream-of.ts'
import { loadFile } from '../config/support.ts'

const { upstreams } = loadFile({
  upstreams: [
    { prefix: '/api', target: 'https://api.example.com/v2' },
    { prefix: '/api/admin', target: 'https://admin.example.com' },
    { prefix: '/deep', target: 'https://api.example.com/v2/deep' },
    { prefix: '/api/open', target: 'https://open.example.com', token: 'none' },
    { prefix: '/news', target: 'https://news.example.com', token: 'none' },
  ],
}).options

const reached = (wanted: string | URL) => {
  const { upstream, url } = destinationOf(wanted, upstreams)
  return `${upstream.prefix} ${url}`
}

test('a path goes to the upstream with the longest prefix above it', () => {
  assert.equal(reached('/api/orders?page=1'), '/api https://api.example.com/v2/orders?page=1')
  assert.equal(reached('/api'), '/api https://api.example.com/v2')
  assert.equal(reached('/api?x=1'), '/api https://api.example.com/v2?x=1')
  assert.equal(reached('/api/admin/users'), '/api/admin https://admin.example.com/users')
  assert.equal(reached('/api/a%2Fb'), '/api https://api.example.com/v2/a%2Fb')
})

test('a URL goes to the upstream whose target it is below', () => {
  assert.equal(reached('https://api.example.com/v2/orders'), '/api https://api.example.com/v2/orders')
  assert.equal(reached(new URL('https://api.example.com/v2')), '/api https://api.example.com/v2')
  assert.equal(reached('https://api.example.com/v2/deep/x'), '/deep https://api.example.com/v2/deep/x')
  assert.equal(reached('HTTPS://API.example.com:443/v2/x'), '/api https://api.example.com/v2/x')
})

test('nothing else gets a token', () => {
  for (const wanted of [
    'https://evil.example/v2/orders',
    'http://api.example.com/v2/orders',
    'https://api.example.com:8443/v2/orders',
    'https://api.example.com/v1/orders',
    'https://api.example.com/v20/orders',
    'https://api.example.com/v2/../v1',
    'https://api.example.com/v2/%2e%2e/v1',
    'https://api.example.com/v2/..%2fv1',
    'https://api.example.com@evil.example/v2/',
    'https://user:password@api.example.com/v2/',
    'https://news.example.com/today',
    '/news/today',
    '/api/open/today',
    '/apiary',
    '/other',
    '/api/../other',
    '/api/%2e%2e/other',
    '/api/..%2f..%2fother',
    '/api\\..\\..\\other',
    '//evil.example/api',
    'orders',
    '',
    'data:text/plain,x',
  ]) {
    assert.throws(() => reached(wanted), TypeError, wanted)
  }
})
