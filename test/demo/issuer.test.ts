import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import * as oidc from 'openid-client'
import { fingerprint } from '../../demo/issuer/events.ts'
import { startIssuer } from '../../demo/issuer.ts'
import { listen, PortInUseError, stop } from '../../demo/listen.ts'
import { audience, refreshTokenOf, startRelyingParty } from './relying-party.ts'

test('the ID token names the user who signs in', async (t) => {
  const { signIn } = await startRelyingParty(t)

  const claims = (await signIn('alice')).claims()

  assert.equal(claims?.sub, 'alice')
  assert.equal(claims?.['name'], 'Alice Example')
  assert.equal(claims?.['email'], 'alice@example.test')
  assert.equal(typeof claims?.['sid'], 'string')
})

test('access tokens are JWTs for the API, with the lifetime asked for', async (t) => {
  const { signIn, issuer } = await startRelyingParty(t, { apiAudience: audience, accessTokenLifetime: 7 })

  const { access_token: accessToken, expires_in: expiresIn } = await signIn('bob')

  const { sub, aud, iss, scope, iat = 0, exp } = decodeJwt(accessToken)
  assert.deepEqual(
    { sub, aud, iss, scope },
    { sub: 'bob', aud: audience, iss: issuer.issuer, scope: 'time:read' },
  )
  assert.equal(exp, iat + 7)
  assert.equal(expiresIn, 7)
  assert.equal(decodeProtectedHeader(accessToken).typ, 'at+jwt')
})

test('without an API the access token can be used at UserInfo', async (t) => {
  const { signIn, configuration } = await startRelyingParty(t, {})

  const { access_token: accessToken } = await signIn('bob')

  const userInfo = await oidc.fetchUserInfo(configuration, accessToken, 'bob')
  assert.equal(userInfo.email, 'bob@example.test')
})

test('after a wrong password the form is shown again, and the right one is accepted', async (t) => {
  const { browser, authorizationUrl } = await startRelyingParty(t)
  const form = await browser.open(await authorizationUrl())

  const again = await browser.submit(form, { username: 'alice', password: 'bob' })

  assert.equal(again.status, 400)
  assert.match(again.body, /role="alert"/)
  const landed = await browser.submit(again, { username: 'alice', password: 'alice' })
  assert.ok(new URL(landed.url).searchParams.has('code'))
})

test('the typed name is escaped in the page', async (t) => {
  const { browser, authorizationUrl } = await startRelyingParty(t)
  const form = await browser.open(await authorizationUrl())

  const again = await browser.submit(form, { username: '"><script>', password: '' })

  assert.ok(!again.body.includes('<script>'))
})

test('a sign-in can be cancelled', async (t) => {
  const { browser, authorizationUrl } = await startRelyingParty(t)
  const form = await browser.open(await authorizationUrl())

  const landed = await browser.submit(form, { cancel: '1' })

  assert.equal(new URL(landed.url).searchParams.get('error'), 'access_denied')
})

test('a second sign-in shows no form, prompt=login shows one, prompt=none never does', async (t) => {
  const { browser, authorizationUrl, signIn } = await startRelyingParty(t)
  const silently = await browser.open(await authorizationUrl({ prompt: 'none' }))
  assert.equal(new URL(silently.url).searchParams.get('error'), 'login_required')

  await signIn('alice')

  assert.ok(new URL((await browser.open(await authorizationUrl())).url).searchParams.has('code'))
  assert.match((await browser.open(await authorizationUrl({ prompt: 'login' }))).body, /type="password"/)
})

test('consent is never asked for, even with prompt=consent', async (t) => {
  const { browser, authorizationUrl, signIn } = await startRelyingParty(t)
  await signIn('alice')

  const landed = await browser.open(await authorizationUrl({ prompt: 'consent' }))

  assert.ok(new URL(landed.url).searchParams.has('code'))
})

test('a request without a PKCE challenge gets no code', async (t) => {
  const { browser, authorizationUrl } = await startRelyingParty(t)
  const url = await authorizationUrl()
  url.searchParams.delete('code_challenge')
  url.searchParams.delete('code_challenge_method')

  const landed = await browser.open(url)

  assert.equal(new URL(landed.url).searchParams.get('error'), 'invalid_request')
})

test('refresh tokens rotate, and reuse of one ends its session but no other', async (t) => {
  const { configuration, signIn, issuer } = await startRelyingParty(t)
  const first = refreshTokenOf(await signIn('alice'))
  const ofOtherSession = refreshTokenOf(await signIn('alice'))
  const second = refreshTokenOf(await oidc.refreshTokenGrant(configuration, first))

  await assert.rejects(oidc.refreshTokenGrant(configuration, first), { error: 'invalid_grant' })
  await assert.rejects(oidc.refreshTokenGrant(configuration, second), { error: 'invalid_grant' })

  await oidc.refreshTokenGrant(configuration, ofOtherSession)
  const grants = issuer.events.refreshGrants()
  assert.deepEqual(
    grants.map(({ outcome, error }) => error ?? outcome),
    ['success', 'invalid_grant', 'invalid_grant', 'success'],
  )
  assert.equal(grants[0]?.refreshTokenHash, fingerprint(first))
  assert.equal(grants[0]?.issuedRefreshTokenHash, fingerprint(second))
})

test('of many parallel grants with one refresh token at most one succeeds, and its session ends', async (t) => {
  const { configuration, signIn } = await startRelyingParty(t)
  const refreshToken = refreshTokenOf(await signIn('alice'))

  const grants = await Promise.allSettled(
    Array.from({ length: 8 }, () => oidc.refreshTokenGrant(configuration, refreshToken)),
  )

  const granted = grants
    .filter((grant) => grant.status === 'fulfilled')
    .map(({ value }) => refreshTokenOf(value))
  assert.ok(granted.length <= 1)
  for (const token of granted) {
    await assert.rejects(oidc.refreshTokenGrant(configuration, token), { error: 'invalid_grant' })
  }
})

test('a revoked refresh token is refused, and the revocation is recorded', async (t) => {
  const { configuration, signIn, issuer } = await startRelyingParty(t)
  const refreshToken = refreshTokenOf(await signIn('alice'))
  const recorded = once(issuer.events, 'recorded')

  await oidc.tokenRevocation(configuration, refreshToken)

  await recorded
  assert.deepEqual(
    issuer.events.revocations().map(({ tokenHash, outcome }) => ({ tokenHash, outcome })),
    [{ tokenHash: fingerprint(refreshToken), outcome: 'success' }],
  )
  await assert.rejects(oidc.refreshTokenGrant(configuration, refreshToken), { error: 'invalid_grant' })
})

test('a logout needs no click, and redirects back', async (t) => {
  const { configuration, signIn, browser, authorizationUrl, url } = await startRelyingParty(t)
  const { id_token: idToken = '' } = await signIn('alice')

  const landed = await browser.open(
    oidc.buildEndSessionUrl(configuration, {
      id_token_hint: idToken,
      post_logout_redirect_uri: `${url}/bff/logout-callback`,
    }),
  )

  assert.equal(landed.url, `${url}/bff/logout-callback`)
  assert.match((await browser.open(await authorizationUrl())).body, /type="password"/)
})

test("the issuer's pages allow no inline script or style, and forms only to known gateways", async (t) => {
  const { browser, authorizationUrl, url } = await startRelyingParty(t)

  const { headers, body } = await browser.open(await authorizationUrl())

  const policy = headers.get('content-security-policy') ?? ''
  assert.match(policy, /default-src 'none'/)
  assert.ok(policy.endsWith(`form-action 'self' ${url}`))
  assert.doesNotMatch(policy, /unsafe-inline/)
  assert.doesNotMatch(body, /<script>|<style|style=/)
})

test('several issuers are independent, and write nothing to the console', async (t) => {
  const spies = (['log', 'info', 'warn', 'error'] as const).map((name) => t.mock.method(console, name))
  const one = await startRelyingParty(t)
  const other = await startRelyingParty(t)

  const refreshToken = refreshTokenOf(await one.signIn('alice'))

  await assert.rejects(oidc.refreshTokenGrant(other.configuration, refreshToken), { error: 'invalid_grant' })
  assert.deepEqual(
    spies.flatMap(({ mock }) => mock.calls.map((call) => call.arguments)),
    [],
  )
})

test('a port in use is named', async (t) => {
  const server = createServer()
  const port = await listen(server, 0)
  t.after(() => stop(server))

  await assert.rejects(
    startIssuer({ port }),
    (error) => error instanceof PortInUseError && error.port === port,
  )
})
