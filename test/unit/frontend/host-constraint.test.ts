import assert from 'node:assert/strict'
import { test } from 'node:test'
import { publicHost, withSlash } from '../../../plugins/frontend/several/routing.ts'

test('the host is that of the request, in lower case and without the port, over HTTP/2 too', () => {
  assert.equal(publicHost({ host: 'Shop.Example.com:8443' }, false), 'shop.example.com')
  assert.equal(publicHost({ host: '[::1]:3000' }, false), '[::1]')
  assert.equal(publicHost({ ':authority': 'shop.example.com:443' }, false), 'shop.example.com')
  assert.equal(publicHost({}, false), '')
})

test('X-Forwarded-Host of a trusted proxy counts, the last of several, as in Fastify', () => {
  const headers = { host: 'gateway', 'x-forwarded-host': 'forged.example, shop.example.com:443' }
  assert.equal(publicHost(headers, true), 'shop.example.com')
  assert.equal(publicHost(headers, false), 'gateway')
})

test('the base path of a frontend without a slash is its page, other paths are unchanged', () => {
  assert.equal(withSlash('/shop', ['/shop', '']), '/shop/')
  assert.equal(withSlash('/shop?a=1', ['/shop']), '/shop/?a=1')
  for (const url of ['/shop/', '/shopping', '/', '/desk', '', '?a']) {
    assert.equal(withSlash(url, ['/shop', '']), url)
  }
})
