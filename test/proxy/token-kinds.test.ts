import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { decodeJwt } from 'jose'
import { createFakeClock } from '../support/fake-clock.ts'
import { startFaultyIssuer } from '../support/faulty-issuer.ts'
import { offerTokenExchange, tokenExchange } from '../support/token-exchange.ts'
import {
  type Answer,
  errorCode,
  signIn,
  startGateway,
  startUpstream,
  type WantedUpstream,
} from './support.ts'

const api = 'urn:test:api'
const orders = 'urn:test:orders'

/** Answers the user and the API of the token. */
const whoAmI: Answer = ({ headers, request, response }) => {
  const token = headers.authorization?.replace('Bearer ', '')
  const { sub, aud } = token === undefined ? { sub: 'anonymous', aud: 'nothing' } : decodeJwt(token)
  request.resume()
  response.end(`${sub} for ${aud}`)
}

interface Wanted extends Partial<WantedUpstream> {
  answer?: Answer
}

/** The usual time API at `/api`, and another at `/other`, with an issuer whose access tokens live 30 s. */
async function start(t: TestContext, { answer = whoAmI, ...wanted }: Wanted) {
  const issuer = await startFaultyIssuer({
    apiAudience: api,
    clientMetadata: {
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials', tokenExchange],
    },
  })
  t.after(() => issuer.close())
  offerTokenExchange(issuer)
  const clock = createFakeClock(Date.now())
  const upstream = await startUpstream(t, answer)
  const gateway = await startGateway(
    t,
    [
      { target: upstream.url, token: 'user' },
      { prefix: '/other', target: upstream.url, ...wanted },
    ],
    {
      issuer,
      extras: { clock },
      env: { OIDC_AUTHORIZATION_PARAMS: `resource=${api}&resource=${orders}`, OIDC_TIMEOUT: '2s' },
    },
  )
  return { issuer, clock, upstream, gateway }
}

test("an API with the gateway's own token needs no session, and 50 parallel requests cause one grant", async (t) => {
  const { issuer, gateway } = await start(t, { token: 'client', resource: orders })
  const replies = await Promise.all(Array.from({ length: 50 }, () => gateway.call('/other/x')))
  for (const { status, text } of replies) assert.deepEqual([status, text], [200, `demo for ${orders}`])
  assert.equal(issuer.events.grants('client_credentials').length, 1)
})

test("an API with the gateway's own token never gets the user's", async (t) => {
  const { gateway } = await start(t, { token: 'client' })
  const cookie = await signIn(gateway)
  assert.equal((await gateway.call('/other/x', { headers: { cookie } })).text, `demo for ${api}`)
})

test("the gateway's own token is renewed early, while requests use the current one", async (t) => {
  const { issuer, gateway, clock, upstream } = await start(t, { token: 'client' })
  await gateway.call('/other/x')
  await clock.advance(20_000)
  const renewed = new Promise((resolve) => issuer.events.once('recorded', resolve))
  await gateway.call('/other/x')
  await renewed
  const [first, second] = upstream.arrivals.map(({ headers }) => headers.authorization)
  assert.equal(first, second)

  await clock.advance(9_000)
  await gateway.call('/other/x')
  assert.notEqual(upstream.arrivals.at(-1)?.headers.authorization, first)
  assert.equal(issuer.events.grants('client_credentials').length, 2)
})

test('a token of the gateway that an API refuses is renewed once, and the request repeated', async (t) => {
  let refused: string | undefined
  const { issuer, gateway, upstream } = await start(t, {
    token: 'client',
    answer({ headers, response }) {
      refused ??= headers.authorization
      response.writeHead(headers.authorization === refused ? 401 : 200).end()
    },
  })
  assert.equal((await gateway.call('/other/x')).status, 200)
  assert.equal(upstream.arrivals.length, 2)
  assert.equal(issuer.events.grants('client_credentials').length, 2)
})

test('an API that refuses every token of the gateway causes one forced renewal', async (t) => {
  const { issuer, gateway } = await start(t, {
    token: 'client',
    answer: ({ response }) => response.writeHead(401).end('no'),
  })
  for (let i = 0; i < 3; i++) assert.equal((await gateway.call('/other/x')).status, 401)
  assert.equal(issuer.events.grants('client_credentials').length, 2)
})

test('while the issuer gives the gateway no token, requests get 503, its APIs are not called, and the issuer not again', async (t) => {
  const { issuer, gateway, upstream } = await start(t, { token: 'client' })
  issuer.rewrite('/token', (_answer, ctx) => {
    ctx.status = 500
  })
  for (let i = 0; i < 3; i++) {
    const reply = await gateway.call('/other/x')
    assert.deepEqual([reply.status, errorCode(reply)], [503, 'BFF_ISSUER_UNAVAILABLE'])
    assert.equal(JSON.parse(reply.text).tokenManagementUsed, true)
    assert.ok(Number(reply.headers['retry-after']) >= 1)
  }
  assert.equal(issuer.events.grants('client_credentials').length, 1)
  assert.equal(upstream.arrivals.length, 0)
})

for (const [token, anonymous] of [
  ['user-or-client', `demo for ${api}`],
  ['user-or-none', 'anonymous for nothing'],
] as const) {
  test(`${token}: with a session the user's token, without one ${anonymous}`, async (t) => {
    const { gateway } = await start(t, { token })
    const cookie = await signIn(gateway)
    assert.equal((await gateway.call('/other/x', { headers: { cookie } })).text, `alice for ${api}`)
    for (const headers of [{}, { cookie: 'bff=rubbish' }, { cookie: 'other=1' }]) {
      assert.equal((await gateway.call('/other/x', { headers })).text, anonymous)
    }
  })

  test(`${token}: a user whose token can't be had is never served with another token`, async (t) => {
    const { gateway, issuer, clock, upstream } = await start(t, { token })
    const cookie = await signIn(gateway)
    await clock.advance(31_000)
    await issuer.close()
    const whileDown = await gateway.call('/other/x', { headers: { cookie } })
    assert.deepEqual([whileDown.status, errorCode(whileDown)], [503, 'BFF_ISSUER_UNAVAILABLE'])

    await issuer.reopen()
    await clock.advance(60_000)
    issuer.rewrite('/token', (_answer, ctx) => {
      ctx.status = 400
      ctx.body = { error: 'invalid_grant' }
    })
    const refused = await gateway.call('/other/x', { headers: { cookie } })
    assert.deepEqual([refused.status, errorCode(refused)], [401, 'BFF_SESSION_ENDED'])

    const over = await gateway.call('/other/x', { headers: { cookie } })
    assert.deepEqual([over.status, errorCode(over)], [401, 'BFF_SESSION_REQUIRED'])
    assert.equal(over.headers['set-cookie'], undefined)
    assert.equal(upstream.arrivals.length, 0)
  })
}

test('an API may have its own tokens of the user, separate from those of other APIs', async (t) => {
  const { gateway, issuer } = await start(t, { token: 'user', resource: orders })
  const cookie = await signIn(gateway)
  const call = async (path: string) => (await gateway.call(path, { headers: { cookie } })).text
  assert.equal(await call('/other/x'), `alice for ${orders}`)
  assert.equal(await call('/api/x'), `alice for ${api}`)
  assert.equal(await call('/other/x'), `alice for ${orders}`)
  assert.equal(issuer.events.refreshGrants().length, 1)
})

test('tokens for several APIs that expire together spend the refresh tokens one after the other', async (t) => {
  const { gateway, issuer, clock } = await start(t, { token: 'user', resource: orders })
  const cookie = await signIn(gateway)
  const storm = async () => {
    const paths = Array.from({ length: 20 }, (_, i) => (i % 2 ? '/other/x' : '/api/x'))
    const replies = await Promise.all(paths.map((path) => gateway.call(path, { headers: { cookie } })))
    assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([200]))
    for (const [i, { text }] of replies.entries()) assert.equal(text, `alice for ${i % 2 ? orders : api}`)
  }
  await storm()
  await clock.advance(31_000)
  await storm()
  const grants = issuer.events.refreshGrants()
  assert.deepEqual(
    grants.map(({ outcome }) => outcome),
    ['success', 'success', 'success'],
  )
  assert.equal(new Set(grants.map(({ refreshTokenHash }) => refreshTokenHash)).size, 3)
})

test("if the issuer declines an API's token requests get 503, and the session's other tokens are unaffected", async (t) => {
  const { gateway, issuer, upstream } = await start(t, { token: 'user', resource: 'urn:test:unknown' })
  const cookie = await signIn(gateway)
  for (let i = 0; i < 3; i++) {
    const reply = await gateway.call('/other/x', { headers: { cookie } })
    assert.deepEqual([reply.status, errorCode(reply)], [503, 'BFF_ISSUER_UNAVAILABLE'])
  }
  assert.deepEqual(
    issuer.events.refreshGrants().map(({ error }) => error),
    ['invalid_target'],
  )
  assert.equal(upstream.arrivals.length, 0)
  assert.equal((await gateway.call('/api/x', { headers: { cookie } })).text, `alice for ${api}`)
})

test("an API may get a token exchanged for the user's, which is reused while it is valid", async (t) => {
  const { gateway, issuer, clock } = await start(t, { token: 'user', exchange: true, audience: orders })
  const cookie = await signIn(gateway)
  const call = async () => (await gateway.call('/other/x', { headers: { cookie } })).text
  const texts = await Promise.all([call(), call(), call()])
  assert.deepEqual(texts, Array(3).fill(`alice for ${orders}`))
  assert.equal(issuer.events.grants(tokenExchange).length, 1)

  await clock.advance(31_000)
  assert.equal(await call(), `alice for ${orders}`)
  assert.deepEqual(
    issuer.events.all.flatMap((event) => (event.type === 'grant' ? [event.grantType] : [])),
    ['authorization_code', tokenExchange, 'refresh_token', tokenExchange],
  )
})
