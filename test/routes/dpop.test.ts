import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { calculateJwkThumbprint, decodeJwt, type JWK } from 'jose'
import {
  type DpopApi,
  type DpopIssuer,
  type DpopIssuerOptions,
  startDpopApi,
  startDpopIssuer,
} from '../support/dpop.ts'
import { createFakeClock } from '../support/fake-clock.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { temporaryFile } from '../support/temporary-file.ts'

/** Routes of an application that call the API in each way there is. */
function callsOf(api: DpopApi) {
  return {
    localRoutes: async (app: FastifyInstance) => {
      app.get('/fetch', async (request) => (await app.bff.fetch(request, '/api/x?page=1')).text())
      app.get('/renew', async (request) => {
        await request.tokenHeaders({ url: api.url, forceRenewal: true })
        return 'renewed'
      })
      app.get('/bare', async (request) => request.accessToken().catch((error) => String(error)))
      app.get('/own', async (request) => {
        const url = `${api.url}/own?page=1`
        const first = await fetch(url, { headers: await request.tokenHeaders({ url }) })
        const dpopNonce = first.headers.get('dpop-nonce')
        const headers = await request.tokenHeaders({ url, dpopNonce })
        return [first.status, (await fetch(url, { headers })).status].join()
      })
    },
  }
}

async function start(t: TestContext, options: DpopIssuerOptions = {}, env: Record<string, string> = {}) {
  const clock = createFakeClock(Date.now())
  const issuer = await startDpopIssuer(t, options)
  const api = await startDpopApi(t, issuer, clock.now)
  const gateway = await startInjectGateway(t, {
    issuer,
    env: { OIDC_DPOP: 'true', API_URL: api.url, OIDC_USERINFO: 'false', ...env },
    extras: { clock, ...callsOf(api) },
  })
  return { ...gateway, issuer, api, clock }
}

/** The requests to the issuer, in order. */
function wayOf({ proven }: DpopIssuer): string[] {
  return proven.map(({ path, grant, status, proof }) => {
    const nonce = proof === undefined ? 'no proof' : proof['nonce'] === undefined ? 'no nonce' : 'nonce'
    return `${grant ?? path} ${nonce} ${status}`
  })
}

test('login, renewals and calls of an API use one key of the session, and the nonce that the issuer demands', async (t) => {
  const { issuer, api, newBrowser, log } = await start(t)
  const browser = newBrowser()
  const url = await browser.beginLogin()
  const jkt = url.searchParams.get('dpop_jkt')
  assert.match(String(jkt), /^[\w-]{43}$/)
  const callback = await browser.open(await browser.authorize(url), { 'sec-fetch-site': 'cross-site' })
  assert.equal(callback.statusCode, 302, `${callback.body} ${log()}`)

  assert.equal((await browser.call('/api/orders/1?page=2')).body, 'GET /v1/orders/1?page=2')
  assert.equal((await browser.call('/renew')).body, 'renewed', log())
  assert.equal((await browser.call('/renew')).statusCode, 200)
  assert.equal((await browser.call('/api/orders/1', { method: 'DELETE' })).statusCode, 200)

  assert.deepEqual(wayOf(issuer), [
    'authorization_code no nonce 400',
    'authorization_code nonce 200',
    'refresh_token nonce 200',
  ])
  assert.deepEqual(
    api.requests.map(({ method, error }) => [method, error]),
    [
      ['GET', undefined],
      ['DELETE', undefined],
    ],
  )
  for (const { jkt: used } of api.requests) assert.equal(used, jkt)
  assert.notEqual(api.requests[0]?.token, api.requests[1]?.token)
  const session = (await browser.call('/bff/session')).json()
  assert.equal(session.accessToken.tokenType, 'DPoP')
})

test('each session has a key of its own', async (t) => {
  const { api, newBrowser } = await start(t)
  for (let user = 0; user < 2; user++) {
    const browser = newBrowser()
    await browser.signIn()
    assert.equal((await browser.call('/api/x')).statusCode, 200)
  }
  assert.equal(new Set(api.requests.map(({ jkt }) => jkt)).size, 2)
})

test('ten logins under way fit into the cookies of a request, each with its key', async (t) => {
  const { newBrowser, publicUrl } = await start(t)
  const browser = newBrowser()
  await browser.signIn()
  const returnUrl = `/${'a'.repeat(299)}`
  for (let login = 0; login < 10; login++) await browser.beginLogin({ returnUrl })
  const cookies = browser.cookies.headerFor(new URL('/bff/callback', publicUrl)) ?? ''
  assert.equal(cookies.match(/bff-tx-/g)?.length, 10)
})

test('UserInfo is asked with a proof', async (t) => {
  // Opaque tokens, which are for UserInfo.
  const { issuer, newBrowser } = await start(t, { opaqueTokens: true }, { OIDC_USERINFO: 'true' })
  const browser = newBrowser()
  assert.equal((await browser.signIn()).statusCode, 302)
  const { proof, status } = issuer.proven.find(({ path }) => path === '/me') ?? {}
  assert.equal(status, 200)
  assert.ok(proof?.['ath'] && proof['nonce'])
  const claims: { type: string }[] = (await browser.call('/bff/user')).json()
  assert.ok(claims.some(({ type }) => type === 'email'))
})

test('an application gets headers that fit one request, and never a bound token without them', async (t) => {
  const { api, newBrowser } = await start(t)
  const browser = newBrowser()
  await browser.signIn()
  api.nonce = 'nonce-1'
  assert.equal((await browser.call('/own')).body, '401,200')
  assert.equal((await browser.call('/fetch')).body, 'GET /v1/x?page=1')
  assert.match((await browser.call('/bare')).body, /use app\.bff\.fetch or request\.tokenHeaders/)
  assert.deepEqual(
    api.requests.map(({ error }) => error),
    // The upstream's nonce is not that of the application's own call.
    ['use_dpop_nonce', undefined, 'use_dpop_nonce', undefined],
  )
})

test('in FAPI 2.0 fashion: pushed request, private_key_jwt, DPoP and iss in one login', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwks = { keys: [publicKey.export({ format: 'jwk' }) as JWK] }
  const keyFile = temporaryFile(t, JSON.stringify(privateKey.export({ format: 'jwk' })))
  const { issuer, api, newBrowser, log } = await start(
    t,
    {
      requirePushedAuthorizationRequests: true,
      clientMetadata: { token_endpoint_auth_method: 'private_key_jwt', jwks } as never,
      configure: (configuration) => ({ ...configuration, clientAuthMethods: ['private_key_jwt'] }),
    },
    { OIDC_CLIENT_SECRET: '', OIDC_CLIENT_PRIVATE_KEY_FILE: keyFile },
  )
  const browser = newBrowser()
  const url = await browser.beginLogin()
  assert.deepEqual([...url.searchParams.keys()].toSorted(), ['client_id', 'request_uri'])
  const callbackPath = await browser.authorize(url)
  assert.equal(new URL(callbackPath, 'http://localhost').searchParams.get('iss'), issuer.issuer)
  const callback = await browser.open(callbackPath, { 'sec-fetch-site': 'cross-site' })
  assert.equal(callback.statusCode, 302, `${callback.body} ${log()}`)
  assert.equal((await browser.call('/api/x')).statusCode, 200)

  assert.deepEqual(wayOf(issuer), [
    '/request no nonce 400',
    '/request nonce 201',
    'authorization_code nonce 200',
  ])
  const [, pushed, redeemed] = issuer.proven
  assert.equal(pushed?.body['dpop_jkt'], api.requests[0]?.jkt)
  const assertions = [pushed, redeemed].map((request) => String(request?.body['client_assertion']))
  for (const assertion of assertions) assert.equal(decodeJwt(assertion).aud, issuer.issuer)
  assert.notEqual(assertions[0], assertions[1])
})

test('a bearer token in place of a bound one is refused at the login', async (t) => {
  const { issuer, newBrowser, log } = await start(t)
  issuer.rewrite('/token', (answer) => {
    answer['token_type'] = 'Bearer'
  })
  const browser = newBrowser()
  const answer = await browser.signIn()
  assert.deepEqual([answer.statusCode, (await browser.call('/api/x')).statusCode], [400, 401])
  assert.match(log(), /"event":"login.rejected","reason":"token_not_bound"/)
})

test('a token that is bound to another key is refused at the login', async (t) => {
  const { issuer, newBrowser, log } = await start(t)
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jkt = await calculateJwkThumbprint(publicKey.export({ format: 'jwk' }) as JWK)
  const foreign = await issuer.sign({ cnf: { jkt } })
  issuer.rewrite('/token', (answer) => {
    if ('access_token' in answer) answer['access_token'] = foreign
  })
  assert.equal((await newBrowser().signIn()).statusCode, 400)
  assert.match(log(), /"event":"login.rejected","reason":"token_of_another_key"/)
})

test('a bearer token from a renewal is not used, and the session goes on with its refresh token', async (t) => {
  const { issuer, api, clock, newBrowser, log } = await start(t)
  const browser = newBrowser()
  await browser.signIn()
  issuer.rewrite('/token', (answer) => {
    if ('access_token' in answer) answer['token_type'] = 'Bearer'
  })
  assert.equal((await browser.call('/renew')).statusCode, 200)
  assert.match(log(), /"reason":"token_not_bound","final":false/)
  assert.equal((await browser.call('/api/x')).statusCode, 200)
  issuer.rewrite('/token')
  await clock.advance(599_000)
  assert.equal((await browser.call('/api/x')).statusCode, 200, log())

  assert.ok(api.requests.every(({ error }) => error === undefined))
  const [first, second] = issuer.events.refreshGrants()
  assert.deepEqual([first?.outcome, second?.outcome], ['success', 'success'])
  assert.equal(second?.refreshTokenHash, first?.issuedRefreshTokenHash)
})

test('an issuer that refuses every nonce is asked twice, and the login fails with its error', async (t) => {
  const { issuer, newBrowser, log } = await start(t)
  issuer.rewrite('/token', (_answer, ctx) => {
    ctx.status = 400
    ctx.body = { error: 'use_dpop_nonce' }
    ctx.set('dpop-nonce', 'again')
  })
  assert.equal((await newBrowser().signIn()).statusCode, 400)
  assert.equal(issuer.proven.length, 2)
  assert.match(log(), /"event":"login.rejected","reason":"use_dpop_nonce"/)
})

test('an issuer that refuses every nonce of a renewal is asked twice, and the session stays', async (t) => {
  const { issuer, newBrowser, log } = await start(t)
  const browser = newBrowser()
  await browser.signIn()
  issuer.proven.length = 0
  issuer.rewrite('/token', (_answer, ctx) => {
    ctx.status = 400
    ctx.body = { error: 'use_dpop_nonce' }
    ctx.set('dpop-nonce', 'again')
  })
  await browser.call('/renew')
  assert.equal(issuer.proven.length, 2)
  assert.match(log(), /"event":"token.renewal.failed","reason":"use_dpop_nonce","final":false/)
  assert.equal((await browser.call('/api/x')).statusCode, 200)
})
