import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startIssuer } from '../../demo/issuer.ts'
import { type Answer, ok, signIn, startGateway, startUpstream } from './support.ts'

async function start(t: TestContext, answer: Answer = ok) {
  const issuer = await startIssuer()
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, answer)
  const kinds = ['user', 'user-or-client', 'user-or-none', 'client', 'none'] as const
  const upstreams = kinds.map((token) => ({ prefix: `/${token}`, target: upstream.url, token }))
  const env = { CORS_ORIGINS: 'https://other.example' }
  const gateway = await startGateway(t, upstreams, { issuer, env })
  return { gateway, upstream, cookie: await signIn(gateway) }
}

/** The fields of Vary as a set, in lower case. */
function varying(value: string | undefined): string[] {
  const names = value?.toLowerCase().split(', ') ?? []
  return names.toSorted()
}

const perUser = ['user', 'user-or-client', 'user-or-none']

test("an answer for a user's token varies on the cookie, with any status", async (t) => {
  const { gateway, cookie } = await start(t, ({ request, response, url }) => {
    request.resume()
    response
      .writeHead(Number(url.slice(1)), { vary: 'Accept', 'cache-control': 'private, max-age=600' })
      .end()
  })
  for (const kind of perUser) {
    for (const status of [200, 204, 301, 304, 403, 404, 500]) {
      const { headers } = await gateway.call(`/${kind}/${status}`, { headers: { cookie } })
      assert.deepEqual(varying(headers.vary), ['accept', 'cookie', 'origin'], `${kind} ${status}`)
    }
  }
})

test("an upstream's own Vary: Cookie is not repeated", async (t) => {
  const { gateway, cookie } = await start(t, ({ response }) =>
    response.writeHead(200, { vary: 'COOKIE' }).end(),
  )
  const { headers } = await gateway.call('/user/x', { headers: { cookie } })
  assert.deepEqual(varying(headers.vary), ['cookie', 'origin'])
})

test('an error of the gateway instead of such an answer varies on the cookie, and is not stored', async (t) => {
  const { gateway, cookie } = await start(t, ({ response }) => response.destroy())
  const requests: [path: string, headers: Record<string, string>, status: number][] = [
    ['/user/x', {}, 401],
    ['/user/x', { cookie: 'bff=x' }, 401],
    ['/user/x', { cookie }, 502],
    ['/user-or-none/x', {}, 502],
    ['/user-or-none/x', { host: 'evil.example' }, 421],
    ['/user/x', { cookie, 'x-csrf': '0' }, 403],
    ['/user/x', { cookie, origin: 'https://evil.example' }, 403],
    ['/user/%2e%2e/x', { cookie }, 400],
  ]
  for (const [path, sent, expected] of requests) {
    const { status, headers } = await gateway.call(path, { headers: sent })
    assert.equal(status, expected, path)
    assert.ok(varying(headers.vary).includes('cookie'), `${path} ${status}: ${headers.vary}`)
    assert.equal(headers['cache-control'], 'no-store')
  }
})

test("an answer without a user's token does not vary on the cookie", async (t) => {
  const { gateway, cookie } = await start(t)
  for (const kind of ['client', 'none']) {
    const { headers } = await gateway.call(`/${kind}/x`, { headers: { cookie } })
    assert.deepEqual(varying(headers.vary), ['origin'])
  }
})
