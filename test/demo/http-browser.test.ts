import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CookieJar } from '../../demo/http-browser/cookie-jar.ts'
import { findTokens } from '../../demo/http-browser/find-tokens.ts'
import { formOf } from '../../demo/http-browser/form.ts'
import { fingerprint } from '../../demo/issuer/events.ts'

const page = new URL('http://localhost:3000/bff/callback')

function jarWith(url: URL, ...setCookies: string[]): CookieJar {
  const jar = new CookieJar()
  jar.store(url, setCookies)
  return jar
}

test('cookies are sent to their host, on any port', () => {
  const jar = jarWith(page, 'a=1; Path=/')

  assert.equal(jar.headerFor(new URL('http://localhost:4000/x')), 'a=1')
  assert.equal(jar.headerFor(new URL('http://127.0.0.1:3000/')), undefined)
})

test('cookies are sent to their path only, the longest first', () => {
  const jar = jarWith(page, 'root=1; Path=/', 'bff=2; Path=/bff', 'default=3')

  assert.equal(jar.headerFor(new URL('/bff/user', page)), 'bff=2; default=3; root=1')
  assert.equal(jar.headerFor(new URL('/bffoon', page)), 'root=1')
})

test('a cookie is removed by setting it with a past expiry', () => {
  const jar = jarWith(page, 'a=1; Path=/', 'b=2; Path=/')

  jar.store(page, ['a=; Path=/; Max-Age=0', 'b=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT'])

  assert.deepEqual(jar.all(), [])
})

test('Secure cookies need https, except on localhost', () => {
  const plain = new URL('http://shop.example/')

  assert.equal(jarWith(plain, 'a=1; Secure').get('a'), undefined)
  assert.equal(jarWith(page, 'a=1; Secure; Path=/').headerFor(page), 'a=1')
  const jar = jarWith(new URL('https://shop.example/'), 'a=1; Secure')
  assert.equal(jar.headerFor(plain), undefined)
})

test('a host can set cookies for its parent domain, not for other domains', () => {
  const host = new URL('https://app.shop.example/')

  const jar = jarWith(host, 'a=1; Domain=shop.example', 'b=2; Domain=other.example')

  assert.equal(jar.headerFor(new URL('https://shop.example/')), 'a=1')
  assert.equal(jar.get('b'), undefined)
})

test('a __Host- cookie must meet the rules of its prefix', () => {
  const host = new URL('https://shop.example/')

  assert.ok(jarWith(host, '__Host-a=1; Secure; Path=/').get('__Host-a'))
  assert.equal(jarWith(host, '__Host-a=1; Path=/').get('__Host-a'), undefined)
  assert.equal(jarWith(host, '__Host-a=1; Secure; Path=/x').get('__Host-a'), undefined)
  assert.equal(jarWith(host, '__Host-a=1; Secure; Path=/; Domain=shop.example').get('__Host-a'), undefined)
})

test('a form is read with its hidden fields', () => {
  const html =
    '<form method="post" action="/a&amp;b"><input type="hidden" name="x" value="&#34;1"><input name="y"></form>'

  assert.deepEqual(formOf(html), { action: '/a&b', hidden: { x: '"1' }, asksPassword: false })
  assert.equal(formOf('<p>none</p>'), undefined)
})

test('tokens are found anywhere in an answer, and not repeated in the report', () => {
  const token = 'some-opaque-refresh-token'
  const known = new Set([fingerprint(token)])
  const seen = (body: string, headers = {}) => ({
    url: 'http://localhost/x',
    headers: new Headers(headers),
    body,
  })

  assert.deepEqual(findTokens(seen('{"tokenType":"Bearer"}'), known), [])
  assert.deepEqual(findTokens(seen(`{"t":"${token}"}`), known), ['a known token in the body of /x'])
  assert.deepEqual(findTokens(seen('', { location: '/?t=eyJhbGciOiJFUzI1NiJ9.eyJz.x' }), known), [
    'a JWT in location of /x',
  ])
  assert.deepEqual(findTokens(seen('', { 'x-echo': 'Bearer%20abc' }), known), [
    'a bearer token in x-echo of /x',
  ])
})
