import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { decodeJwt } from 'jose'
import { startIssuer } from '../../demo/issuer.ts'
import { type Answer, signIn, startGateway, startUpstream } from '../proxy/support.ts'
import { startNginx } from '../support/nginx.ts'

const inAnHour = new Date(Date.now() + 3_600_000).toUTCString()
const caching: Record<string, string>[] = [
  {},
  { 'cache-control': 'public' },
  { 'cache-control': 'public, max-age=600' },
  { 'cache-control': 's-maxage=600' },
  { 'cache-control': 'max-age=600' },
  { 'cache-control': 'max-age=0, s-maxage=600' },
  { 'cache-control': 'public, max-age=600, immutable' },
  { 'cache-control': 'PUBLIC, S-MAXAGE=600' },
  { 'cache-control': 'max-age=600, private="x-a"' },
  { 'cache-control': 'max-age=600, stale-while-revalidate=600, stale-if-error=600' },
  { expires: inAnHour },
  { expires: inAnHour, 'cache-control': 'public' },
  { pragma: 'cache', expires: inAnHour },
  { 'surrogate-control': 'max-age=600' },
  { 'x-accel-expires': '600' },
  { 'x-accel-expires': '600', 'cache-control': 'private' },
  { 'cdn-cache-control': 'public, max-age=600' },
  { vary: 'accept', 'cache-control': 'public, max-age=600' },
  { vary: 'cookie', 'cache-control': 'public, max-age=600' },
  { etag: '"v1"', 'last-modified': new Date(0).toUTCString(), 'cache-control': 'public, max-age=600' },
  { 'set-cookie': 'a=b', 'cache-control': 'public, max-age=600' },
  { age: '1', 'cache-control': 'public, max-age=600' },
]
const statuses = [200, 203, 301, 302, 404, 410, 500]
const paths = caching.flatMap((_, i) => statuses.map((status) => `/api/x?caching=${i}&status=${status}`))

/** Names the user of the token, with the headers and status that the request asks for. */
const whoAmI: Answer = ({ url, headers, request, response }) => {
  request.resume()
  const query = new URL(url, 'http://localhost').searchParams
  const token = headers.authorization?.replace('Bearer ', '')
  const user = token === undefined ? 'anonymous' : decodeJwt(token).sub
  response.writeHead(Number(query.get('status') ?? 200), caching[Number(query.get('caching'))])
  response.end(`This is for ${user}`)
}

async function start(t: TestContext) {
  const issuer = await startIssuer({ apiAudience: 'urn:test:api', accessTokenLifetime: 3600 })
  t.after(() => issuer.close())
  const upstream = await startUpstream(t, whoAmI)
  const gateway = await startGateway(t, [{ target: upstream.url, token: 'user' }], { issuer })
  const nginx = await startNginx(`http://127.0.0.1:${gateway.port}`)
  t.after(() => nginx.close())
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(nginx.url + path, {
      headers: { 'x-csrf': '1', ...headers },
      redirect: 'manual',
    })
    return { status: response.status, headers: response.headers, body: await response.text() }
  }
  return { upstream, gateway, ask, alice: await signIn(gateway, 'alice'), bob: await signIn(gateway, 'bob') }
}

test('a shared cache in front stores no answer of a remote API, whatever its caching headers', async (t) => {
  const { ask, alice, bob } = await start(t)
  for (const path of paths) {
    const first = await ask(path, { cookie: alice })
    assert.equal(first.body, 'This is for alice', path)
    for (const [cookie, expected] of [
      [bob, 'This is for bob'],
      [alice, 'This is for alice'],
    ] as const) {
      const { body, headers } = await ask(path, { cookie })
      assert.deepEqual([body, headers.get('x-cache')], [expected, 'MISS'], path)
    }
    const anonymous = await ask(path)
    assert.deepEqual([anonymous.status, anonymous.headers.get('x-cache')], [401, 'MISS'], path)
    assert.doesNotMatch(anonymous.body, /alice|bob/)
  }
})

test('a shared cache stores no answer of the gateway itself', async (t) => {
  const { ask, alice, bob } = await start(t)
  const names = new Map([
    [alice, 'alice'],
    [bob, 'bob'],
  ])
  for (const path of [
    '/bff/user',
    '/bff/session',
    '/bff/login',
    '/bff/login?returnUrl=//x',
    '/bff/callback',
    '/bff/x',
    '/bff/logout',
    '/api/%2e%2e/x',
    '/api/x',
    '/nothing',
    '/bff/frontchannel-logout?iss=x&sid=y',
  ]) {
    const locations = new Set<string>()
    // Anonymous first, so that a stored refusal would show too.
    for (const cookie of [undefined, alice, undefined, bob, alice]) {
      const { headers, body } = await ask(path, { ...(cookie !== undefined && { cookie }) })
      assert.equal(headers.get('x-cache'), 'MISS', path)
      if (headers.has('location')) locations.add(headers.get('location') ?? '')
      for (const name of names.values())
        if (name !== names.get(cookie ?? '')) assert.ok(!body.includes(name), path)
    }
    if (path === '/bff/login') assert.equal(locations.size, 5)
  }
})

test('the refusal of a forged request is not stored for the frontend', async (t) => {
  const { ask, alice } = await start(t)
  assert.equal((await ask('/api/x', { cookie: alice, 'x-csrf': '0' })).status, 403)
  assert.equal((await ask('/api/x', { cookie: alice })).body, 'This is for alice')
})

test("without the gateway the same cache gives one user's answers to another", async (t) => {
  const upstream = await startUpstream(t, whoAmI)
  const nginx = await startNginx(upstream.url)
  t.after(() => nginx.close())
  const bearer = (sub: string) =>
    `Bearer e30.${Buffer.from(JSON.stringify({ sub })).toString('base64url')}.e30`
  let leaked = 0
  for (const path of paths) {
    await fetch(nginx.url + path, { headers: { authorization: bearer('alice') }, redirect: 'manual' })
    const response = await fetch(nginx.url + path, {
      headers: { authorization: bearer('bob') },
      redirect: 'manual',
    })
    if ((await response.text()).includes('alice')) leaked++
  }
  assert.ok(leaked > paths.length / 2, `${leaked} of ${paths.length}`)
})
