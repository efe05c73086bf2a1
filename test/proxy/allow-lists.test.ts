import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { ok, signIn, startGateway, startUpstream } from './support.ts'

const forwarded = ['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-prefix', 'x-forwarded-proto']
const always = ['connection', 'host', ...forwarded]

test('only listed request headers reach the upstream, besides those of the gateway', async (t) => {
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url, requestHeaders: ['accept', 'x-tenant'] }])
  const headers = { accept: 'text/plain', 'X-Tenant': '7', 'x-other': '1', 'user-agent': 'x', cookie: 'a=1' }
  await gateway.call('/api/x', { headers })
  await gateway.call('/api/x', {
    method: 'POST',
    headers: { ...headers, 'content-type': 'text/plain' },
    body: 'abc',
  })

  const [get, post] = upstream.arrivals
  assert.deepEqual(Object.keys(get?.headers ?? {}).toSorted(), ['accept', ...always, 'x-tenant'])
  assert.deepEqual(
    Object.keys(post?.headers ?? {}).toSorted(),
    ['accept', ...always, 'content-length', 'content-type', 'x-tenant'].toSorted(),
  )
})

test('the token reaches the upstream, with any list of headers', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t)
  const gateway = await startGateway(t, [{ target: upstream.url, token: 'user', requestHeaders: [] }], {
    issuer,
  })
  await gateway.call('/api/x', { headers: { cookie: await signIn(gateway) } })
  assert.match(upstream.arrivals[0]?.headers.authorization ?? '', /^Bearer /)
})

test('listed cookies reach the upstream, the session cookie never', async (t) => {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t)
  const wanted = {
    target: upstream.url,
    token: 'user' as const,
    requestCookies: ['theme', 'bff', 'bff-tx-1'],
  }
  const gateway = await startGateway(t, [wanted], { issuer })
  const session = await signIn(gateway)
  const cookie = `lang=de; ${session}; theme=dark; bff-tx-1=x`
  assert.equal((await gateway.call('/api/x', { headers: { cookie } })).status, 200)
  assert.equal((await gateway.call('/api/x', { headers: { cookie: session } })).status, 200)
  assert.deepEqual(
    upstream.arrivals.map(({ headers }) => headers.cookie),
    ['theme=dark', undefined],
  )
})

test('listed response headers reach the browser besides the usual ones, and caching stays private', async (t) => {
  const upstream = await startUpstream(t, (arrival) => {
    const { response } = arrival
    response.setHeader('etag', '"a"').setHeader('x-internal', '1').setHeader('x-tenant', '7')
    response.setHeader('content-type', 'text/plain').setHeader('cache-control', 'public, max-age=60')
    response.setHeader('set-cookie', ['theme=dark', 'other=1'])
    ok(arrival)
  })
  const wanted = { target: upstream.url, responseHeaders: ['x-tenant'], responseCookies: ['theme'] }
  const gateway = await startGateway(t, [wanted])
  const { headers, text } = await gateway.call('/api/x')
  const { date, connection, 'content-length': _, 'keep-alive': __, ...rest } = headers
  assert.deepEqual(rest, {
    etag: '"a"',
    'x-tenant': '7',
    'content-type': 'text/plain',
    'cache-control': 'private, max-age=60',
    'set-cookie': ['theme=dark'],
  })
  assert.equal(text, 'ok')
})
