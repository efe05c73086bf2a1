import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { FastifyPluginAsync } from 'fastify'
import { assertError } from '../support/assert-error.ts'
import { setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

const csrf = { 'x-csrf': '1' }

/** Application routes that fail. */
const localRoutes: FastifyPluginAsync = async (app) => {
  app.post('/echo', async ({ body }) => body)
  app.post('/small', { bodyLimit: 10 }, async ({ body }) => body)
  app.get('/throws', async () => {
    throw new Error('secret of 10.0.0.7')
  })
  app.get('/throws-text', async () => {
    throw 'secret of 10.0.0.7'
  })
  app.get('/throws-status', async () => {
    throw Object.assign(new Error('secret of 10.0.0.7'), { statusCode: 502, code: 'ECONNREFUSED' })
  })
  app.get('/query', { schema: { querystring: { type: 'object', required: ['id'] } } }, async () => 'found')
}

function start(t: TestContext) {
  return startInjectGateway(t, { extras: { localRoutes } })
}

test('errors of Fastify itself have the format of every other error', async (t) => {
  const { app } = await start(t)
  const post = (url: string, payload: string, type: string) =>
    app.inject({ method: 'POST', url, payload, headers: { ...csrf, 'content-type': type } })

  assertError(await post('/echo', 'x', 'text/unknown'), 415, 'BFF_UNSUPPORTED_MEDIA_TYPE')
  assertError(await post('/echo', '{"a":', 'application/json'), 400, 'FST_ERR_CTP_INVALID_JSON_BODY')
  assertError(await post('/echo', '', 'application/json'), 400, 'FST_ERR_CTP_EMPTY_JSON_BODY')
  assertError(await post('/small', '"0123456789"', 'application/json'), 413, 'BFF_BODY_TOO_LARGE')
  assertError(await app.inject({ url: '/query', headers: csrf }), 400, 'FST_ERR_VALIDATION')
  assertError(await app.inject({ url: '/unknown', headers: csrf }), 404, 'BFF_NOT_FOUND')
  assertError(await app.inject({ method: 'PUT', url: '/echo', headers: csrf }), 404, 'BFF_NOT_FOUND')
})

test('a body that would poison prototypes is refused', async (t) => {
  const { app } = await start(t)
  const response = await app.inject({
    method: 'POST',
    url: '/echo',
    payload: '{"__proto__":{"isAdmin":true}}',
    headers: { ...csrf, 'content-type': 'application/json' },
  })
  assertError(response, 400, response.json().code)
})

test('a malformed URL is refused in the same format, without repeating it', async (t) => {
  const { app, log } = await start(t)
  for (const url of ['/%zz', '/bff/%zz', '/bff/callback%?code=secret', '/%c0%ae', '/bff/login%E0%A4%A']) {
    for (const headers of [csrf, { accept: 'text/html' }]) {
      const response = await app.inject({ url, headers })
      assertError(response, 400, 'BFF_INVALID_PATH')
      assert.doesNotMatch(response.body, /%|secret/)
    }
  }
  assert.doesNotMatch(log(), /secret/)
})

test('an unexpected error is a generic 500, and the log has its details', async (t) => {
  const { app, log } = await start(t)
  for (const url of ['/throws', '/throws-text', '/throws-status']) {
    const response = await app.inject({ url, headers: csrf })
    assertError(response, 500, 'BFF_INTERNAL_ERROR')
    assert.doesNotMatch(response.body, /secret|10\.0\.0\.7|at /)
    assert.match(log(), new RegExp(`"level":50.*"reqId":"${response.json().requestId}"`))
  }
  assert.match(log(), /secret of 10\.0\.0\.7/)
})

test('only a navigation gets an error page, a script gets JSON', async (t) => {
  const { app } = await start(t)
  const forPerson = { accept: 'text/html' }
  for (const url of ['/bff/login?returnUrl=//evil.example', '/bff/callback', '/bff/login?prompt=x']) {
    const page = await app.inject({ url, headers: forPerson })
    assert.equal(page.statusCode, 400)
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8')
    assert.equal(page.headers['cache-control'], 'no-store')
    assert.doesNotMatch(page.body, /evil/)
    const { requestId } = (await app.inject(url)).json()
    assert.equal(typeof requestId, 'string')
  }
  assertError(
    await app.inject({ url: '/bff/user', headers: { ...csrf, ...forPerson } }),
    401,
    'BFF_SESSION_REQUIRED',
    {
      loginUrl: '/bff/login',
    },
  )
  assertError(await app.inject({ url: '/bff/user', headers: forPerson }), 403, 'BFF_CSRF_REJECTED')
})

test('every request has its own identifier, which a client can not choose', async (t) => {
  const { app } = await start(t)
  const ids = new Set<string>()
  for (let i = 0; i < 3; i++) {
    const response = await app.inject({
      url: '/bff/user',
      headers: { 'request-id': 'mine', 'x-request-id': 'mine' },
    })
    ids.add(response.json().requestId)
  }
  assert.equal(ids.size, 3)
  assert.ok(!ids.has('mine'))
})

test('a request that is malformed or too large is refused, and the gateway goes on', async (t) => {
  const { app, newBrowser } = await start(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const address = app.server.address()
  assert.ok(address !== null && typeof address !== 'string')
  const { port } = address
  const answerTo = async (text: string) => {
    const socket = connect(port, '127.0.0.1').setEncoding('latin1')
    socket.write(text)
    const [answer] = (await once(socket, 'data')) as [string]
    socket.destroy()
    return answer
  }

  assert.match(await answerTo('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /)
  const cookie = `Cookie: bff=${'x'.repeat(20_000)}`
  assert.match(await answerTo(`GET /bff/user HTTP/1.1\r\nHost: x\r\n${cookie}\r\n\r\n`), /^HTTP\/1\.1 431 /)
  assert.match(await answerTo('GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n'), /"code":"BFF_INVALID_PATH"/)
  assert.equal((await newBrowser().signIn()).statusCode, 302)
})

test('malformed cookies and queries never cause a server error on any endpoint', async (t) => {
  const { app } = await start(t)
  const cookies = [
    'bff',
    'bff=',
    '=',
    ';;;',
    'bff=%',
    `bff-tx-${'0'.repeat(16)}=%`,
    'a=b; __proto__=x; constructor=y',
  ]
  const queries = [
    '',
    '?',
    '?%zz',
    '?state=%zz&code=%zz',
    '?a[b]=c',
    '?__proto__=x',
    '?state=__proto__&code=1',
    '?sid[]=x',
  ]
  const paths = [
    '/bff/login',
    '/bff/callback',
    '/bff/logout',
    '/bff/user',
    '/bff/session',
    '/healthz',
    '/bff/x',
  ]
  for (const path of paths) {
    for (const query of queries) {
      for (const cookie of cookies) {
        const response = await app.inject({ url: path + query, headers: { ...csrf, cookie } })
        assert.ok(response.statusCode < 500, `${path}${query} ${cookie}: ${response.statusCode}`)
        assert.ok(setCookies(response).every((value) => value.startsWith('bff-tx-')))
      }
    }
  }
})
