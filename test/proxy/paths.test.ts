import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { pathTraversals } from '../support/corpus.ts'
import { errorCode, exchange, rawGet, startGateway, startUpstream } from './support.ts'

/** One API at `/api`, and its part `/v1` at `/based`. */
async function start(t: TestContext, env: Record<string, string> = {}) {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(
    t,
    [{ target: upstream.url }, { prefix: '/based', target: `${upstream.url}/v1` }],
    { env },
  )
  return { upstream, gateway }
}

const kept = [
  '/x',
  '/x/',
  '/a%2Fb',
  '/a%2fb',
  '/a%5Cb',
  '/%00',
  '/a%00b',
  '/%0d%0ax',
  '/%252e%252e%252f',
  '/%25',
  '/caf%C3%A9',
  '/%E2%80%A6',
  '/%F0%9F%98%80',
  '/%EF%BC%8E%EF%BC%8E',
  '/a+b%20c%2Bd',
  '/a;b=c/d;e',
  '/;',
  '/.',
  '/./x',
  '/...',
  '/.well-known/x',
  '/a..b/..c/d..',
  '/a//b',
  '/a/',
  '/a///',
  '/:x',
  '/*',
  '/**/x',
  '/http://evil.example/',
  '/@evil.example',
  "/~!$&'()*,=:@|^`{}[]",
  '/%7e%7E',
  // From older encodings.
  '/caf%E9',
  '/F%FC%DFe/a%2Fb/%ff',
  '/%80/%c3%28',
  '/xxx%E9xxx',
  '/a\\b',
  '/"<>"',
  `/${'long'.repeat(1500)}`,
]

test('a path is appended to the target byte for byte', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const path of kept) {
    assert.equal((await rawGet(gateway.port, `/api${path}`)).status, 200, path)
    assert.equal((await rawGet(gateway.port, `/based${path}`)).status, 200, path)
  }
  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    kept.flatMap((path) => [path, `/v1${path}`]),
  )
})

test('leading empty segments are kept if the target has a base path', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const path of ['//x', '///', '//evil.example/x']) {
    assert.equal((await rawGet(gateway.port, `/based${path}`)).status, 200, path)
    assert.equal(upstream.arrivals.at(-1)?.url, `/v1${path}`)
  }
})

test('leading empty segments, which could be read as a host, are refused if the target has no base path', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const path of ['//evil.example/x', '//', '/\\evil.example', '/\\/x']) {
    const { status, body } = await rawGet(gateway.port, `/api${path}`)
    assert.deepEqual([status, errorCode({ text: body })], [400, 'BFF_INVALID_PATH'], path)
  }
  assert.equal(upstream.arrivals.length, 0)
})

test('a query is passed on byte for byte', async (t) => {
  const queries = [
    '',
    '?',
    '??',
    '?a',
    '?a=',
    '?=',
    '?a=1&a=2&b=3&a=4',
    '?b=1&a=2',
    '?a[]=1&a[]=2',
    '?q=a+b%20c%2Bd',
    '?a=b?c=d?',
    '?path=/../../x&other=..%2f..',
    '?q=%zz%',
    '?q=%E9%c0%ae',
    '?u=http://evil.example/#x'.replace('#', '%23'),
    '?a=1;b=2',
    '?&&',
    '?__proto__=1&constructor=2',
    "?~!$'()*,:@/|^`{}[]\\",
  ]
  const { upstream, gateway } = await start(t)
  for (const query of queries) {
    assert.equal((await rawGet(gateway.port, `/api/x${query}`)).status, 200, query)
    assert.equal((await rawGet(gateway.port, `/based${query}`)).status, 200, query)
  }
  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    queries.flatMap((query) => [`/x${query}`, `/v1${query}`]),
  )
})

test('the prefix only, with and without a slash, is the target itself', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const path of ['/api', '/api/', '/api?a', '/api/?a', '/based', '/based/', '/based?a', '/based/?a']) {
    assert.equal((await rawGet(gateway.port, path)).status, 200, path)
  }
  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    ['/', '/', '/?a', '/?a', '/v1', '/v1/', '/v1?a', '/v1/?a'],
  )
})

test('a slash at the end of the target changes nothing', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: `${upstream.url}/v1/` }])
  for (const path of ['/api', '/api/', '/api/x']) await rawGet(gateway.port, path)
  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    ['/v1', '/v1/', '/v1/x'],
  )
})

test('no path traversal leaves the target, and none reaches it', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const path of pathTraversals()) {
    for (const prefix of ['/api', '/based', '/%61pi', '/based/a/b/c']) {
      const { status, body } = await rawGet(gateway.port, prefix + path)
      assert.deepEqual([status, errorCode({ text: body })], [400, 'BFF_INVALID_PATH'], prefix + path)
    }
  }
  assert.equal(upstream.arrivals.length, 0)
})

test('a request with an absolute URL does not reach the target', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const url of ['http://evil.example/api/x', 'http://localhost/based/x', 'https:/api/x', 'api/x', '*']) {
    const { status, body } = await rawGet(gateway.port, url)
    assert.ok(status === 400 || status === 404, `${url}: ${status} ${body}`)
  }
  assert.equal(upstream.arrivals.length, 0)
})

test('bytes that are invalid in a URL are refused before the path is examined', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const path of ['/api/a b', '/api/caf\xe9', '/api/\x01', '/api/\x7f']) {
    const answer = await exchange(gateway.port, `GET ${path} HTTP/1.1\r\nHost: GATEWAY\r\nx-csrf: 1\r\n\r\n`)
    assert.match(answer, /^HTTP\/1.1 400 /, path)
  }
  assert.equal(upstream.arrivals.length, 0)
})

test('the longest prefix is used, in any order of configuration', async (t) => {
  const [outer, inner] = [await startUpstream(t), await startUpstream(t)]
  const upstreams = [
    { prefix: '/api', target: outer.url },
    { prefix: '/api/v2', target: inner.url },
  ]
  for (const configured of [upstreams, upstreams.toReversed()]) {
    const gateway = await startGateway(t, configured)
    for (const path of [
      '/api/v2',
      '/api/v2/x',
      '/api/%762/y',
      '/api/v2?a',
      '/api/v20',
      '/api/v1',
      '/api/V2/x',
    ]) {
      assert.equal((await rawGet(gateway.port, path)).status, 200, path)
    }
    const urls = ({ arrivals }: typeof outer) => arrivals.splice(0).map(({ url }) => url)
    assert.deepEqual(urls(inner), ['/', '/x', '/y', '/?a'])
    assert.deepEqual(urls(outer), ['/v20', '/v1', '/V2/x'])
  }
})

test('a path that only resembles the prefix is not proxied', async (t) => {
  const { upstream, gateway } = await start(t)
  for (const path of ['/apix', '/api%2Fx', '/api;x', '//api/x', '/API/x', '/x/../api/y', '/']) {
    assert.equal((await rawGet(gateway.port, path)).status, 404, path)
  }
  assert.equal(upstream.arrivals.length, 0)
})

test('with a path in the public URL, the prefix matches with and without it', async (t) => {
  const { upstream, gateway } = await start(t, { PUBLIC_URL: 'http://localhost:3000/app' })
  for (const path of ['/app/api/x?y', '/api/x?y', '/app/api/app/api/x']) await rawGet(gateway.port, path)
  assert.deepEqual(
    upstream.arrivals.map(({ url }) => url),
    ['/x?y', '/x?y', '/app/api/x'],
  )
  assert.equal((await rawGet(gateway.port, '/app/api/%2e%2e/x')).status, 400)
})

test("a path that is not UTF-8 reaches upstreams only, and can't hide a traversal", async (t) => {
  const { upstream, gateway } = await start(t, { PUBLIC_URL: 'http://localhost:3000/app' })
  for (const path of ['/app/api/%E9', '/api/%E9']) {
    assert.equal((await rawGet(gateway.port, path)).status, 200)
    assert.equal(upstream.arrivals.at(-1)?.url, '/%E9')
  }
  const before = upstream.arrivals.length
  for (const path of [
    '/%E9/..%2f',
    '/%E9/%2e%2e/x',
    '/%E9/..;/x',
    '/%E9%zz',
    '/%E9/%c0%ae%c0%ae/x',
    '/%E9/%e0%40%ae/x',
  ]) {
    const { status, body } = await rawGet(gateway.port, `/api${path}`)
    assert.deepEqual([status, errorCode({ text: body })], [400, 'BFF_INVALID_PATH'], path)
  }
  for (const path of ['/%E9', '/bff/user%E9', '/ap%E9', '/apiE9%E9']) {
    assert.equal((await rawGet(gateway.port, path)).status, 400, path)
  }
  assert.equal(upstream.arrivals.length, before)
})
