import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { JWK } from 'jose'
import type { IssuerOptions } from '../../demo/issuer.ts'
import { assertError } from '../support/assert-error.ts'
import { type Answer, type FaultyIssuer, metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { setCookies } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

/** As in the issuer's metadata. */
const pushPath = '/request'

/** A gateway whose issuer accepts only pushed authorization requests, and what was pushed to it. */
async function start(t: TestContext, env: Record<string, string> = {}, options: IssuerOptions = {}) {
  const issuer = await startFaultyIssuer({ requirePushedAuthorizationRequests: true, ...options })
  t.after(() => issuer.close())
  const gateway = await startInjectGateway(t, { issuer, env })
  return { ...gateway, issuer, pushed: pushedTo(issuer) }
}

function pushedTo({ provider }: FaultyIssuer): Record<string, unknown>[] {
  const pushed: Record<string, unknown>[] = []
  provider.use(async (ctx, next) => {
    await next()
    if (ctx.path === pushPath) pushed.push({ ...ctx['oidc'].body })
  })
  return pushed
}

test('if the issuer demands it the request is pushed, and the browser gets a reference to it', async (t) => {
  const env = { OIDC_AUTHORIZATION_PARAMS: 'resource=urn%3Aapi%3Aa&resource=urn%3Aapi%3Ab&acr_values=basic' }
  const { newBrowser, issuer, pushed, log } = await start(t, env, { apiAudience: 'urn:api:a' })
  const browser = newBrowser()

  const url = await browser.beginLogin({ login_hint: 'alice', prompt: 'login', returnUrl: '/start' })

  assert.equal(url.origin + url.pathname, `${issuer.issuer}/auth`)
  const { request_uri: requestUri = '', ...others } = Object.fromEntries(url.searchParams)
  assert.deepEqual(others, { client_id: issuer.clientId })
  const [request = {}, ...more] = pushed
  assert.deepEqual(more, [])
  const { state, nonce, code_challenge: challenge, ...rest } = request
  assert.deepEqual(rest, {
    client_id: issuer.clientId,
    response_type: 'code',
    redirect_uri: 'http://localhost:3000/bff/callback',
    scope: 'openid profile email offline_access',
    code_challenge_method: 'S256',
    resource: ['urn:api:a', 'urn:api:b'],
    acr_values: 'basic',
    login_hint: 'alice',
    prompt: 'login',
  })
  for (const random of [state, nonce, challenge]) assert.match(String(random), /^[\w-]{43}$/)

  const callback = await browser.open(await browser.authorize(url), { 'sec-fetch-site': 'cross-site' })
  assert.equal(callback.headers['location'], '/start')
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
  assert.ok(!log().includes(requestUri.slice(-20)))
})

test('if the issuer only offers it nothing is pushed', async (t) => {
  const { newBrowser, issuer, pushed } = await start(t, {}, { requirePushedAuthorizationRequests: false })
  const metadata = (await (await fetch(issuer.issuer + metadataPath)).json()) as Answer
  assert.equal(metadata['pushed_authorization_request_endpoint'], issuer.issuer + pushPath)
  const { searchParams } = await newBrowser().beginLogin()
  assert.ok(searchParams.has('state') && !searchParams.has('request_uri'))
  assert.deepEqual(pushed, [])
})

test('a pushed request uses the same client authentication as grants', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const folder = mkdtempSync(join(tmpdir(), 'fastify-bff-key-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const keyFile = join(folder, 'key.json')
  writeFileSync(keyFile, JSON.stringify(privateKey.export({ format: 'jwk' })))
  const jwks = { keys: [publicKey.export({ format: 'jwk' }) as JWK] }

  const byKey = await start(
    t,
    { OIDC_CLIENT_PRIVATE_KEY_FILE: keyFile, OIDC_CLIENT_SECRET: '' },
    { clientMetadata: { token_endpoint_auth_method: 'private_key_jwt', jwks } as never },
  )
  const byPost = await start(t, {}, { clientMetadata: { token_endpoint_auth_method: 'client_secret_post' } })
  byPost.issuer.rewrite(metadataPath, (metadata) => {
    metadata['token_endpoint_auth_methods_supported'] = ['client_secret_post']
  })
  const byNothing = await start(
    t,
    { OIDC_CLIENT_SECRET: '' },
    { clientMetadata: { token_endpoint_auth_method: 'none' } },
  )

  for (const { newBrowser } of [byKey, byPost, byNothing]) {
    assert.equal((await newBrowser().signIn()).statusCode, 302)
  }
  assert.ok(byKey.pushed[0]?.['client_assertion'])
  assert.ok(byPost.pushed[0]?.['client_secret'])
})

test('parallel tabs push a request each, and each ends at its own return URL', async (t) => {
  const { newBrowser } = await start(t)
  const browser = newBrowser()
  const first = await browser.beginLogin({ returnUrl: '/first' })
  const second = await browser.beginLogin({ returnUrl: '/second' })
  assert.notEqual(first.searchParams.get('request_uri'), second.searchParams.get('request_uri'))
  for (const [url, returnUrl] of [[second, '/second'] as const, [first, '/first'] as const])
    assert.equal((await browser.open(await browser.authorize(url))).headers['location'], returnUrl)
})

test('if the push fails the issuer counts as unavailable, and no login begins', async (t) => {
  const { newBrowser, issuer } = await start(t)
  const assertUnavailable = async (retryAfter: string) => {
    const response = await newBrowser().call('/bff/login')
    assertError(response, 503, 'BFF_ISSUER_UNAVAILABLE', { tokenManagementUsed: true })
    assert.equal(response.headers['retry-after'], retryAfter)
    assert.deepEqual(setCookies(response), [])
  }
  await newBrowser().beginLogin()

  issuer.rewrite(pushPath, (_answer, ctx) => Object.assign(ctx, { status: 500 }))
  await assertUnavailable('1')
  issuer.rewrite(pushPath, (_answer, ctx) => {
    ctx.set('retry-after', '7')
    ctx.status = 429
  })
  await assertUnavailable('7')
  await issuer.close()
  await assertUnavailable('1')
})

test('an issuer that takes too long to accept the push is unavailable too', async (t) => {
  const { newBrowser, issuer } = await start(t, { OIDC_TIMEOUT: '200ms' })
  const asked = Promise.withResolvers<void>()
  issuer.rewrite(pushPath, () => asked.promise)
  t.after(() => asked.resolve())
  assertError(await newBrowser().call('/bff/login'), 503, 'BFF_ISSUER_UNAVAILABLE', {
    tokenManagementUsed: true,
  })
})

test('a pushed request that the issuer declines fails the login, and the log says why', async (t) => {
  const { newBrowser, log } = await start(t, { OIDC_CLIENT_SECRET: 'not the secret of this client' })
  const response = await newBrowser().call('/bff/login')
  assertError(response, 400, 'BFF_LOGIN_REJECTED', { loginUrl: '/bff/login' })
  assert.deepEqual(setCookies(response), [])
  const rejections = log()
    .split('\n')
    .filter((line) => line.includes('"login.rejected"'))
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    rejections.map(({ reason }) => reason),
    ['client_authentication_rejected'],
  )
  // A navigation gets a page that offers to log in again.
  assert.match(
    (await newBrowser().open('/bff/login')).body,
    /<a href="\/bff\/login\?returnUrl=%2F">Log in again<\/a>/,
  )
})

test('in a frame a declined push posts isLoggedIn: false to the page', async (t) => {
  const { newBrowser, issuer } = await start(t)
  issuer.rewrite(pushPath, (_answer, ctx) =>
    Object.assign(ctx, { status: 400, body: { error: 'invalid_request' } }),
  )
  const response = await newBrowser().open('/bff/silent-login', { 'sec-fetch-dest': 'iframe' })
  assert.equal(response.statusCode, 400)
  assert.match(response.body, /isLoggedIn: false/)
})
