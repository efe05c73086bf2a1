import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { decodeJwt, decodeProtectedHeader, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import type { ClientMetadata, Configuration } from 'oidc-provider'
import { formOf } from '../../demo/http-browser/form.ts'
import { assertError } from '../support/assert-error.ts'
import { metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { temporaryFile } from '../support/temporary-file.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const kid = 'of the gateway'

interface Setup {
  env?: Record<string, string>
  clientMetadata?: object
  mustPush?: boolean
}

/** An issuer that takes and gives every form of authorization request and response. */
async function start(t: TestContext, { env = {}, clientMetadata = {}, mustPush = false }: Setup = {}) {
  const issuer = await startFaultyIssuer({
    requirePushedAuthorizationRequests: mustPush,
    clientMetadata: {
      jwks: { keys: [{ ...(publicKey.export({ format: 'jwk' }) as JWK), kid }] },
      authorization_signed_response_alg: 'ES256',
      ...clientMetadata,
    } as Partial<ClientMetadata>,
    configure: (configuration): Configuration => ({
      ...configuration,
      enabledJWA: { authorizationSigningAlgValues: ['ES256'] },
      features: {
        ...configuration.features,
        requestObjects: { enabled: true },
        jwtResponseModes: { enabled: true },
      },
    }),
  })
  t.after(() => issuer.close())
  const gateway = await startInjectGateway(t, { issuer, env })
  return { ...gateway, issuer, browser: gateway.newBrowser() }
}

function keyEnv(t: TestContext): Record<string, string> {
  const jwk = JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid })
  return { OIDC_CLIENT_PRIVATE_KEY_FILE: temporaryFile(t, jwk), OIDC_CLIENT_AUTH: 'client_secret_basic' }
}

const fromIssuer = { 'sec-fetch-site': 'cross-site' }

test('requests are pushed always or never where that is said, whatever the metadata say', async (t) => {
  const always = await start(t, { env: { OIDC_PAR: 'always' } })
  const url = await always.browser.beginLogin()
  assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request_uri'])
  assert.equal((await always.browser.open(await always.browser.authorize(url), fromIssuer)).statusCode, 302)

  const never = await start(t, { env: { OIDC_PAR: 'never' } })
  never.issuer.rewrite(metadataPath, (metadata) => {
    metadata['require_pushed_authorization_requests'] = true
  })
  assert.ok((await never.browser.beginLogin()).searchParams.has('state'))
})

test('an issuer that demands pushing without saying so in its metadata tells the log', async (t) => {
  const { browser, issuer, log } = await start(t)
  const url = await browser.beginLogin()
  const description = 'Pushed Authorization Request is only allowed.'
  const refusal = new URLSearchParams({
    error: 'invalid_request',
    error_description: description,
    state: url.searchParams.get('state') ?? '',
    iss: issuer.issuer,
  })
  assert.equal((await browser.open(`/bff/callback?${refusal}`, fromIssuer)).statusCode, 400)
  const [line = ''] = log().match(/\{[^\n]*"event":"login\.rejected"[^\n]*/) ?? []
  const { reason, errorDescription } = JSON.parse(line)
  assert.deepEqual([reason, errorDescription], ['invalid_request', description])
})

test('pushing to an issuer without an endpoint for it is an error that says so', async (t) => {
  const { browser, issuer, log } = await start(t, { env: { OIDC_PAR: 'always' } })
  issuer.rewrite(metadataPath, (metadata) => {
    delete metadata['pushed_authorization_request_endpoint']
  })
  assertError(await browser.call('/bff/login'), 503, 'BFF_ISSUER_UNAVAILABLE', { tokenManagementUsed: true })
  assert.match(log(), /no endpoint for pushed authorization requests: OIDC_PAR=never/)
})

test('a signed request has everything in it, is for the issuer and valid for a minute', async (t) => {
  const env = { ...keyEnv(t), OIDC_REQUEST_OBJECT: 'always' }
  const { browser, issuer } = await start(t, { env, clientMetadata: { request_object_signing_alg: 'ES256' } })
  const url = await browser.beginLogin({ max_age: '3600', login_hint: 'alice' })

  assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request', 'response_type', 'scope'])
  const request = url.searchParams.get('request') ?? ''
  assert.deepEqual(decodeProtectedHeader(request), { alg: 'ES256', typ: 'oauth-authz-req+jwt', kid })
  const { state, nonce, code_challenge, jti, iat = 0, exp = 0, nbf = 0, ...claims } = decodeJwt(request)
  assert.deepEqual(claims, {
    iss: 'demo',
    aud: issuer.issuer,
    client_id: 'demo',
    response_type: 'code',
    redirect_uri: 'http://localhost:3000/bff/callback',
    scope: 'openid profile email offline_access',
    code_challenge_method: 'S256',
    login_hint: 'alice',
    max_age: 3600,
  })
  assert.ok(state && nonce && code_challenge && jti && exp - iat === 60 && nbf < iat)
  const callback = await browser.open(await browser.authorize(url), fromIssuer)
  assert.equal(callback.statusCode, 302)
})

test('a request is signed and pushed where the issuer demands both', async (t) => {
  const { browser, issuer } = await start(t, {
    env: keyEnv(t),
    clientMetadata: { request_object_signing_alg: 'ES256' },
    mustPush: true,
  })
  issuer.rewrite(metadataPath, (metadata) => {
    metadata['require_signed_request_object'] = true
  })
  const pushed: Record<string, string>[] = []
  issuer.rewrite('/request', (_answer, ctx) => pushed.push(ctx['oidc'].body))
  const url = await browser.beginLogin()
  assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request_uri'])
  assert.deepEqual(Object.keys(pushed[0] ?? {}).sort(), ['client_id', 'request'])
  assert.equal((await browser.open(await browser.authorize(url), fromIssuer)).statusCode, 302)
})

test('a FAPI 2.0 client authenticates by key, pushes signed requests and gets signed responses', async (t) => {
  const { browser, issuer } = await start(t, {
    env: {
      ...keyEnv(t),
      OIDC_CLIENT_AUTH: 'private_key_jwt',
      OIDC_PAR: 'always',
      OIDC_REQUEST_OBJECT: 'always',
      OIDC_RESPONSE_MODE: 'jwt',
      OIDC_ID_TOKEN_ALG: 'ES256',
    },
    clientMetadata: { token_endpoint_auth_method: 'private_key_jwt', request_object_signing_alg: 'ES256' },
  })
  const sent: [path: string, names: string[]][] = []
  for (const path of ['/request', '/token'])
    issuer.rewrite(path, (_answer, ctx) => sent.push([path, Object.keys(ctx['oidc'].body).sort()]))

  const url = await browser.beginLogin()
  const path = await browser.authorize(url)
  assert.equal((await browser.open(path, fromIssuer)).statusCode, 302)

  const assertion = ['client_assertion', 'client_assertion_type', 'client_id']
  assert.deepEqual(sent, [
    ['/request', [...assertion, 'request']],
    ['/token', [...assertion, 'code', 'code_verifier', 'grant_type', 'redirect_uri']],
  ])
  assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request_uri'])
  assert.match(path, /^\/bff\/callback\?response=[\w.-]+$/)
})

test('an issuer that demands signed requests of a gateway without a key is unavailable, and the log says why', async (t) => {
  const { browser, issuer, log } = await start(t)
  issuer.rewrite(metadataPath, (metadata) => {
    metadata['require_signed_request_object'] = true
  })
  assert.equal((await browser.open('/bff/login')).statusCode, 503)
  assert.match(log(), /OIDC_CLIENT_PRIVATE_KEY_FILE, which is not set/)
})

test('a signed request that the issuer refuses is a login that fails, and the session stays', async (t) => {
  const { publicKey: other } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { browser, log } = await start(t, {
    env: { ...keyEnv(t), OIDC_REQUEST_OBJECT: 'always', OIDC_PAR: 'always' },
    clientMetadata: { jwks: { keys: [{ ...(other.export({ format: 'jwk' }) as JWK), kid }] } },
  })
  const response = await browser.call('/bff/login')
  assertError(response, 400, 'BFF_LOGIN_REJECTED', { loginUrl: '/bff/login' })
  assert.match(log(), /"event":"login\.rejected","reason":"invalid_request_object","errorDescription":"/)
})

test('a signed response signs in, and its session state is known', async (t) => {
  const { browser, issuer } = await start(t, { env: { OIDC_RESPONSE_MODE: 'jwt' } })
  const url = await browser.beginLogin()
  assert.equal(url.searchParams.get('response_mode'), 'jwt')
  const path = await browser.authorize(url)
  const response = new URL(path, 'http://localhost').searchParams
  assert.deepEqual([...response.keys()], ['response'])
  const { exp: _, code: __, iss: ___, ...claims } = decodeJwt(response.get('response') ?? '')
  const signed = await issuer.sign({
    ...decodeJwt(response.get('response') ?? ''),
    ...claims,
    session_state: 'x',
  })
  const callback = await browser.open(`/bff/callback?response=${signed}`, fromIssuer)
  assert.equal(callback.statusCode, 302)
  assert.match((await browser.call('/bff/user')).body, /"bff:session_state","value":"x"/)
})

test('a response that must be signed is refused if it is not, or not by the issuer, or not for this client', async (t) => {
  const stranger = await generateKeyPair('ES256')
  const cases: [reason: RegExp, change: (claims: JWTPayload) => Promise<Record<string, string>> | object][] =
    []
  const { browser, issuer, log, newBrowser } = await start(t, { env: { OIDC_RESPONSE_MODE: 'jwt' } })
  cases.push(
    [/RESPONSE_NOT_SIGNED/, ({ code, state, iss }) => ({ code, state, iss })],
    [
      /JWKSNoMatchingKey|JWSSignatureVerificationFailed/,
      async (claims) => ({
        response: await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(stranger.privateKey),
      }),
    ],
    [
      /JWTClaimValidationFailed/,
      async (claims) => ({ response: await issuer.sign({ ...claims, aud: 'another' }) }),
    ],
    [
      /JWTClaimValidationFailed/,
      async (claims) => ({ response: await issuer.sign({ ...claims, iss: 'https://x.example' }) }),
    ],
    [/JWTExpired/, async (claims) => ({ response: await issuer.sign({ ...claims, exp: 1 }) })],
  )
  assert.ok(browser)
  for (const [reason, change] of cases) {
    const other = newBrowser()
    const path = await other.authorize(await other.beginLogin())
    const claims = decodeJwt(new URL(path, 'http://localhost').searchParams.get('response') ?? '')
    const parameters = new URLSearchParams((await change(claims)) as Record<string, string>)
    const before = log().length
    assert.equal((await other.open(`/bff/callback?${parameters}`, fromIssuer)).statusCode, 400)
    assert.match(log().slice(before), reason)
    assert.equal((await other.call('/bff/user')).statusCode, 401)
  }
})

test('responses that name made-up keys do not make the gateway fetch the keys each time', async (t) => {
  const { browser, issuer } = await start(t, { env: { OIDC_RESPONSE_MODE: 'jwt' } })
  const { privateKey: stranger } = await generateKeyPair('ES256')
  let fetches = 0
  issuer.rewrite('/jwks', () => fetches++)
  const startedAt = Date.now()
  for (let number = 0; number < 20; number++) {
    const state = (await browser.beginLogin()).searchParams.get('state')
    const header = { alg: 'ES256', kid: `made up ${number}` }
    const response = await new SignJWT({ state }).setProtectedHeader(header).sign(stranger)
    const { statusCode } = await browser.open(`/bff/callback?response=${response}`, fromIssuer)
    assert.equal(statusCode, 400)
  }
  // One a second at most, however slow the machine is.
  const most = 1 + Math.ceil((Date.now() - startedAt) / 1000)
  assert.ok(fetches >= 1 && fetches <= most, `${fetches} fetches`)
})

for (const mode of ['form_post', 'form_post.jwt'])
  test(`a login by ${mode} is finished by a form that comes without cookies, and no code is in a URL`, async (t) => {
    const { browser, newBrowser, log } = await start(t, { env: { OIDC_RESPONSE_MODE: mode } })
    const { path, body } = await browser.authorizeByForm(await browser.beginLogin({ returnUrl: '/start' }))
    assert.equal(path, '/bff/callback')

    // Lax cookies don't come with a POST of another site.
    const bare = newBrowser()
    const page = await bare.post(path, body)
    assert.equal(page.statusCode, 200)
    assert.match(String(page.headers['content-security-policy']), /default-src 'none';script-src 'sha256-/)
    assert.equal(page.headers['cache-control'], 'no-store')
    const fields = new URLSearchParams(formOf(page.body)?.hidden)
    assert.deepEqual([...fields], [...body, ['bff_posted_again', '1']])
    assert.equal(/action="([^"]+)"/.exec(page.body)?.[1], '/bff/callback')

    const callback = await browser.post(path, fields, { 'sec-fetch-site': 'same-origin' })
    assert.deepEqual([callback.statusCode, callback.headers['location']], [302, '/start'])
    assert.equal((await browser.call('/bff/user')).statusCode, 200)
    assert.ok(!log().includes(body.get('code') ?? body.get('response') ?? 'none'))

    // In another browser it is no login.
    assert.equal((await bare.post(path, fields, { 'sec-fetch-site': 'same-origin' })).statusCode, 400)
  })

test('nothing in a form becomes markup, and a form is no callback where the response is in the URL', async (t) => {
  const { browser, newBrowser } = await start(t, { env: { OIDC_RESPONSE_MODE: 'form_post' } })
  const page = await browser.post('/bff/callback', new URLSearchParams({ '"><b>': '<script>"\'&' }))
  assert.doesNotMatch(page.body, /<b>|<script>"/)
  assert.ok(newBrowser)
  const large = new URLSearchParams({ code: 'x'.repeat(70_000) })
  assert.equal((await browser.post('/bff/callback', large)).statusCode, 413)

  const other = await start(t)
  assert.equal((await other.browser.call('/bff/callback', { method: 'POST' })).statusCode, 405)
})

test('a form with more fields than an issuer sends is refused', async (t) => {
  const { browser } = await start(t, { env: { OIDC_RESPONSE_MODE: 'form_post' } })
  const fields = (count: number) => new URLSearchParams(Array(count).fill('x=').join('&'))
  assert.equal((await browser.post('/bff/callback', fields(50))).statusCode, 200)
  const refused = await browser.post('/bff/callback', fields(51), { accept: '*/*' })
  assertError(refused, 400, 'BFF_INVALID_PARAMETER')
})

test('the state of a signed response counts only where responses are signed', async (t) => {
  const { app, issuer } = await start(t)
  const jwt = await issuer.sign({ state: 'of the response' })
  const parameters = new URLSearchParams({ response: jwt, state: 'plain' })
  assert.equal(await app.issuer.stateOf(parameters), 'plain')
  const signed = await start(t, { env: { OIDC_RESPONSE_MODE: 'jwt' } })
  assert.equal(await signed.app.issuer.stateOf(parameters), 'of the response')
})

test('a callback without the iss that is announced names the option for issuers that never send it', async (t) => {
  for (const option of ['auto', 'optional']) {
    const { browser, log } = await start(t, { env: { OIDC_ISS_PARAMETER: option } })
    const path = new URL(await browser.authorize(await browser.beginLogin()), 'http://localhost')
    assert.ok(path.searchParams.has('iss'))
    path.searchParams.delete('iss')
    const callback = await browser.open(path.pathname + path.search, fromIssuer)
    assert.equal(callback.statusCode, option === 'auto' ? 400 : 302)
    assert.equal(/if it never does, set OIDC_ISS_PARAMETER=optional/.test(log()), option === 'auto')
  }
})
