import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { decodeJwt, decodeProtectedHeader, type JWK, type JWTPayload, UnsecuredJWT } from 'jose'
import { startDpopApi, startDpopIssuer } from '../support/dpop.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { temporaryFile } from '../support/temporary-file.ts'

// What the client modules of the OpenID Foundation's suite for the FAPI 2.0 Security Profile look at: pushed requests,
// private_key_jwt, DPoP with nonces at the issuer and the API, `iss` in the response, ID tokens.
// @see https://openid.net/specs/fapi-security-profile-2_0-final.html

async function start(t: TestContext) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...(publicKey.export({ format: 'jwk' }) as JWK), kid: 'client key' }
  const keyFile = temporaryFile(t, JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid: jwk.kid }))
  const issuer = await startDpopIssuer(t, {
    requirePushedAuthorizationRequests: true,
    clientMetadata: { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] } } as never,
    configure: (configuration) => ({ ...configuration, clientAuthMethods: ['private_key_jwt'] }),
  })
  const api = await startDpopApi(t, issuer)
  api.nonce = 'nonce-of-the-api'
  const gateway = await startInjectGateway(t, {
    issuer,
    env: {
      API_URL: api.url,
      OIDC_CLIENT_SECRET: '',
      OIDC_CLIENT_PRIVATE_KEY_FILE: keyFile,
      OIDC_DPOP: 'true',
      OIDC_ID_TOKEN_ALG: 'ES256',
      OIDC_PAR: 'always',
      OIDC_USERINFO: 'false',
    },
  })
  const { newBrowser } = gateway

  /** @param change of the response's parameters */
  async function callback(change: (parameters: URLSearchParams) => void = () => {}) {
    const browser = newBrowser()
    const url = new URL(await browser.authorize(await browser.beginLogin()), 'http://localhost')
    change(url.searchParams)
    const answer = await browser.open(url.pathname + url.search, { 'sec-fetch-site': 'cross-site' })
    return { browser, answer }
  }

  const redemptions = () => issuer.proven.filter(({ grant }) => grant === 'authorization_code').length
  return { ...gateway, issuer, api, callback, redemptions }
}

test('the happy flow: what is pushed, what the browser carries, how the code is redeemed, how the API is called', async (t) => {
  const { issuer, api, newBrowser, log } = await start(t)
  const browser = newBrowser()
  const front = await browser.beginLogin()
  const callback = await browser.authorize(front)
  const landed = await browser.open(callback, { 'sec-fetch-site': 'cross-site' })
  assert.equal(landed.statusCode, 302, `${landed.body} ${log()}`)
  assert.equal((await browser.call('/api/accounts?page=1')).statusCode, 200)
  assert.equal((await browser.call('/api/accounts')).statusCode, 200)

  const pushed = issuer.proven.find(({ path, status }) => path === '/request' && status === 201)
  const redeemed = issuer.proven.find(({ grant, status }) => grant === 'authorization_code' && status === 200)
  assert.ok(pushed && redeemed)
  assert.deepEqual(Object.keys(pushed.body).toSorted(), [
    'client_assertion',
    'client_assertion_type',
    'client_id',
    'code_challenge',
    'code_challenge_method',
    'dpop_jkt',
    'nonce',
    'redirect_uri',
    'response_type',
    'scope',
    'state',
  ])
  assert.deepEqual([pushed.body['response_type'], pushed.body['code_challenge_method']], ['code', 'S256'])
  assert.deepEqual([...front.searchParams.keys()].toSorted(), ['client_id', 'request_uri'])
  for (const { body } of [pushed, redeemed]) {
    const assertion = String(body['client_assertion'])
    assert.deepEqual(decodeProtectedHeader(assertion), { alg: 'ES256', kid: 'client key' })
    const { aud, iss, sub, exp = 0, iat = 0, jti } = decodeJwt(assertion)
    assert.deepEqual([aud, iss, sub], [issuer.issuer, 'demo', 'demo'])
    assert.ok(exp - iat <= 60 && jti)
    assert.ok(!('client_secret' in body))
  }
  assert.ok(redeemed.body['code_verifier'])
  assert.equal(redeemed.body['redirect_uri'], pushed.body['redirect_uri'])
  assert.equal(api.requests.at(-1)?.jkt, pushed.body['dpop_jkt'])
  assert.deepEqual(
    api.requests.map(({ error }) => error),
    ['use_dpop_nonce', undefined, undefined],
  )
})

test('no proof and no assertion is sent twice, and each login pushes a request of its own', async (t) => {
  const { issuer, callback } = await start(t)
  for (let login = 0; login < 3; login++) assert.equal((await callback()).answer.statusCode, 302)
  const sent = (of: (typeof issuer.proven)[number]) => [
    of.proof?.jti,
    decodeJwt(String(of.body['client_assertion'])).jti,
  ]
  const identifiers = issuer.proven.flatMap(sent)
  assert.equal(new Set(identifiers).size, identifiers.length)
  assert.equal(issuer.proven.filter(({ path, status }) => path === '/request' && status === 201).length, 3)
})

test('a response with a wrong iss or state is rejected before its code is sent anywhere', async (t) => {
  const { callback, redemptions } = await start(t)
  const changes: Record<string, (parameters: URLSearchParams) => void> = {
    'no iss': (parameters) => parameters.delete('iss'),
    'an empty iss': (parameters) => parameters.set('iss', ''),
    'another iss': (parameters) => parameters.set('iss', 'https://evil.example'),
    'an iss with a slash more': (parameters) => parameters.set('iss', `${parameters.get('iss')}/`),
    'two iss': (parameters) => parameters.append('iss', 'https://evil.example'),
    'no state': (parameters) => parameters.delete('state'),
    'another state': (parameters) => parameters.set('state', 'another'),
    'two states': (parameters) => parameters.append('state', 'another'),
    'no code': (parameters) => parameters.delete('code'),
    'two codes': (parameters) => parameters.append('code', 'another'),
    'an error beside the code': (parameters) => parameters.set('error', 'access_denied'),
  }
  for (const [what, change] of Object.entries(changes)) {
    const { browser, answer } = await callback(change)
    assert.equal(answer.statusCode, 400, what)
    assert.equal((await browser.call('/bff/user')).statusCode, 401, what)
  }
  assert.equal(redemptions(), 0)
})

test('an ID token with a wrong claim, key or signature is rejected, and no API is called', async (t) => {
  const { issuer, api, callback } = await start(t)
  const now = Math.floor(Date.now() / 1000)
  const withClaims = (changes: JWTPayload) => (claims: JWTPayload) => issuer.sign({ ...claims, ...changes })
  const forgeries: Record<string, (claims: JWTPayload, honest: string) => unknown> = {
    'another iss': withClaims({ iss: 'https://evil.example' }),
    'no iss': withClaims({ iss: undefined } as never),
    'another aud': withClaims({ aud: 'another' }),
    'no aud': withClaims({ aud: undefined } as never),
    'a second aud': withClaims({ aud: ['demo', 'another'] }),
    expired: withClaims({ exp: now - 300, iat: now - 600 }),
    'no exp': withClaims({ exp: undefined } as never),
    'no iat': withClaims({ iat: undefined } as never),
    'another nonce': withClaims({ nonce: 'another' }),
    'no nonce': withClaims({ nonce: undefined }),
    'another at_hash': withClaims({ at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' }),
    'no signature': (claims) => new UnsecuredJWT(claims).encode(),
    'an unknown key': (claims) => issuer.sign(claims, { alg: 'ES256', kid: 'unknown' }),
    'a broken signature': (_claims, honest) => `${honest.slice(0, -8)}AAAAAAAA`,
  }
  for (const [what, forge] of Object.entries(forgeries)) {
    issuer.rewrite('/token', async (answer) => {
      const honest = answer['id_token']
      if (honest !== undefined) answer['id_token'] = await forge(decodeJwt(String(honest)), String(honest))
    })
    const { browser, answer } = await callback()
    assert.equal(answer.statusCode, 400, what)
    assert.equal((await browser.call('/api/accounts')).statusCode, 401, what)
  }
  assert.deepEqual(api.requests, [])
})

test('the type of a token in any case, and an answer without expires_in, are accepted', async (t) => {
  const { issuer, callback } = await start(t)
  issuer.rewrite('/token', (answer) => {
    if (!('access_token' in answer)) return
    answer['token_type'] = 'dPoP'
    delete answer['expires_in']
  })
  const { browser, answer } = await callback()
  assert.equal(answer.statusCode, 302)
  assert.equal((await browser.call('/api/accounts')).statusCode, 200)
})

test('an issuer that does not take the pushed request gets no second one, and the browser an error', async (t) => {
  const { issuer, newBrowser, log } = await start(t)
  issuer.rewrite('/request', (_answer, ctx) => {
    ctx.status = 400
    ctx.body = { error: 'invalid_request', error_description: 'no' }
  })
  assert.equal((await newBrowser().open('/bff/login')).statusCode, 400)
  assert.equal(issuer.proven.length, 1)
  assert.match(log(), /"event":"login.rejected","reason":"invalid_request"/)
})
