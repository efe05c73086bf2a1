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

/** Says whose token it got, and for which API. */
const whoAmI: Answer = ({ headers, request, response }) => {
  const token = headers.authorization?.replace('Bearer ', '')
  const { sub, aud } = token === undefined ? { sub: 'nobody', aud: 'nothing' } : decodeJwt(token)
  request.resume()
  response.end(`${sub} for ${aud}`)
}

interface Wanted extends Partial<WantedUpstream> {
  answer?: Answer
}

/** The time API at `/api` as always, and another at `/other` as wanted, at an issuer with access tokens of 30 s. */
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

test('an API that takes the token of the gateway itself needs no session, and 50 requests at once cost one grant', async (t) => {
  const { issuer, gateway } = await start(t, { token: 'client', resource: orders })
  const replies = await Promise.all(Array.from({ length: 50 }, () => gateway.call('/other/x')))
  for (const { status, text } of replies) assert.deepEqual([status, text], [200, `demo for ${orders}`])
  assert.equal(issuer.events.grants('client_credentials').length, 1)
})

test("signed in or not, an API that takes the gateway's token never sees the user's", async (t) => {
  const { gateway } = await start(t, { token: 'client' })
  const cookie = await signIn(gateway)
  assert.equal((await gateway.call('/other/x', { headers: { cookie } })).text, `demo for ${api}`)
})

test('the token of the gateway is renewed early, while requests go on with the one that is there', async (t) => {
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

test('a token of the gateway that an API refuses is renewed once, and the request sent again', async (t) => {
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

test('an API that refuses every token of the gateway costs one forced renewal', async (t) => {
  const { issuer, gateway } = await start(t, {
    token: 'client',
    answer: ({ response }) => response.writeHead(401).end('no'),
  })
  for (let i = 0; i < 3; i++) assert.equal((await gateway.call('/other/x')).status, 401)
  assert.equal(issuer.events.grants('client_credentials').length, 2)
})

test('while the issuer gives the gateway no token, its APIs are answered 503 and not asked, and it is left alone', async (t) => {
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
  ['user-or-none', 'nobody for nothing'],
] as const) {
  test(`${token}: with a session the user's token, without one ${anonymous}`, async (t) => {
    const { gateway } = await start(t, { token })
    const cookie = await signIn(gateway)
    assert.equal((await gateway.call('/other/x', { headers: { cookie } })).text, `alice for ${api}`)
    for (const headers of [{}, { cookie: 'bff=rubbish' }, { cookie: 'other=1' }]) {
      assert.equal((await gateway.call('/other/x', { headers })).text, anonymous)
    }
  })

  test(`${token}: a user whose token can't be had is never served as somebody else`, async (t) => {
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

test('an API may have tokens of the user of its own, beside those of the others', async (t) => {
  const { gateway, issuer } = await start(t, { token: 'user', resource: orders })
  const cookie = await signIn(gateway)
  const call = async (path: string) => (await gateway.call(path, { headers: { cookie } })).text
  assert.equal(await call('/other/x'), `alice for ${orders}`)
  assert.equal(await call('/api/x'), `alice for ${api}`)
  assert.equal(await call('/other/x'), `alice for ${orders}`)
  assert.equal(issuer.events.refreshGrants().length, 1)
})

test('tokens for several APIs that run out together spend the one refresh token in turn', async (t) => {
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

test("an API whose token the issuer declines is answered 503; the session's other tokens are not touched by that", async (t) => {
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

test("an API may take a token that is given in exchange for the user's, and it is kept as long as it is good", async (t) => {
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
