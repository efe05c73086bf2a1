import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { decodeJwt, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import type { IssuerOptions } from '../../demo/issuer.ts'
import { assertError } from '../support/assert-error.ts'
import { type Answer, type FaultyIssuer, metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import type { InjectBrowser } from '../support/inject-browser.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'

/** A gateway with an issuer whose answers can be changed. */
async function start(t: TestContext, options: IssuerOptions = {}) {
  const issuer = await startFaultyIssuer(options)
  t.after(() => issuer.close())
  return { ...(await startInjectGateway(t, { issuer })), issuer }
}

async function assertRejected(browser: InjectBrowser, what: string): Promise<void> {
  const callback = await browser.authorize(await browser.beginLogin())
  const response = await browser.call(callback)
  assert.equal(response.statusCode, 400, what)
  assertError(response, 400, 'BFF_LOGIN_REJECTED', { loginUrl: '/bff/login' })
  assert.equal(browser.cookies.get('bff'), undefined, what)
}

async function assertAccepted(browser: InjectBrowser): Promise<void> {
  assert.equal((await browser.signIn()).statusCode, 302)
  assert.ok(browser.cookies.get('bff'))
}

/** Replaces the ID token in the token answer. */
function withIdToken(issuer: FaultyIssuer, forge: (claims: JWTPayload, honest: string) => unknown): void {
  issuer.rewrite('/token', async (answer) => {
    const honest = String(answer['id_token'])
    answer['id_token'] = await forge(decodeJwt(honest), honest)
  })
}

const seconds = () => Math.floor(Date.now() / 1000)

const wrongClaims: Record<string, Record<string, unknown>> = {
  'another issuer': { iss: 'https://evil.example' },
  'no issuer': { iss: undefined },
  'another audience': { aud: 'another-client' },
  'no audience': { aud: undefined },
  'several audiences without azp': { aud: ['demo', 'another-client'] },
  'several audiences with another azp': { aud: ['demo', 'another-client'], azp: 'another-client' },
  'no subject': { sub: undefined },
  'an empty subject': { sub: '' },
  'no expiry': { exp: undefined },
  'a past expiry': { exp: seconds() - 120, iat: seconds() - 240 },
  'an expiry that is a string': { exp: 'tomorrow' },
  'no iat': { iat: undefined },
  'an nbf in the future': { nbf: seconds() + 3600 },
  'another nonce': { nonce: 'another' },
  'no nonce': { nonce: undefined },
}

test('an ID token signed with another key of the issuer is accepted', async (t) => {
  const { issuer, newBrowser } = await start(t)
  withIdToken(issuer, (claims) => issuer.sign(claims))
  await assertAccepted(newBrowser())
})

test('a new signing key of the issuer is fetched with the next login', async (t) => {
  const { issuer, newBrowser } = await start(t)
  issuer.rewrite('/jwks', (answer) => {
    answer['keys'] = (answer['keys'] as unknown[]).slice(0, 1)
  })
  await assertAccepted(newBrowser())
  withIdToken(issuer, (claims) => issuer.sign(claims))
  await assertRejected(newBrowser(), 'a key that it does not publish')

  issuer.rewrite('/jwks')
  await assertAccepted(newBrowser())
})

test('an ID token with any wrong claim is rejected, although its signature is valid', async (t) => {
  const { issuer, newBrowser } = await start(t)
  for (const [what, wrong] of Object.entries(wrongClaims)) {
    withIdToken(issuer, (claims) => issuer.sign({ ...claims, ...wrong }))
    await assertRejected(newBrowser(), what)
  }
})

test('an ID token with an invalid signature is rejected', async (t) => {
  const { issuer, newBrowser } = await start(t)
  const otherIssuer = await startFaultyIssuer()
  t.after(() => otherIssuer.close())
  const forgeries: Record<string, (claims: JWTPayload, honest: string) => unknown> = {
    'changed claims': (claims, honest) => {
      const [header, , signature] = honest.split('.')
      const payload = Buffer.from(JSON.stringify({ ...claims, sub: 'bob' })).toString('base64url')
      return [header, payload, signature].join('.')
    },
    'a changed signature': (_claims, honest) =>
      honest.slice(0, -4) + (honest.endsWith('AAAA') ? 'BBBB' : 'AAAA'),
    'no signature': (_claims, honest) => `${honest.split('.').slice(0, 2).join('.')}.`,
    'alg none': (claims) => new UnsecuredJWT(claims).encode(),
    'the client secret as its key': (claims) => hs256(claims, issuer.clientSecret),
    "another issuer's key": (claims) => otherIssuer.sign(claims),
    'no ID token': () => undefined,
    'an ID token that is no JWT': () => 'nonsense',
    'an encrypted ID token': () => 'a.b.c.d.e',
    'an ID token that is an object': (claims) => claims,
    'an empty ID token': () => '',
  }
  for (const [what, forge] of Object.entries(forgeries)) {
    withIdToken(issuer, forge)
    await assertRejected(newBrowser(), what)
  }
})

test('an unsigned ID token is rejected, even if the metadata name the algorithm none', async (t) => {
  const { issuer, newBrowser } = await start(t)
  issuer.rewrite(metadataPath, (metadata) => {
    metadata['id_token_signing_alg_values_supported'] = ['none', 'HS256', 'ES256']
  })
  for (const forge of [
    (claims: JWTPayload) => new UnsecuredJWT(claims).encode(),
    (claims: JWTPayload) => hs256(claims, issuer.clientSecret),
  ]) {
    withIdToken(issuer, forge)
    await assertRejected(newBrowser(), String(forge))
  }
})

test('a requested max_age needs a recent enough auth_time', async (t) => {
  const { issuer, newBrowser } = await start(t)
  for (const [authTime, statusCode] of [
    [seconds() - 3600, 400],
    [undefined, 400],
    [seconds(), 302],
  ] as const) {
    withIdToken(issuer, (claims) => issuer.sign({ ...claims, auth_time: authTime }))
    const browser = newBrowser()
    const callback = await browser.authorize(await browser.beginLogin({ max_age: '60' }))
    assert.equal((await browser.open(callback)).statusCode, statusCode, `auth_time ${authTime}`)
  }
})

test('a malformed token answer is rejected', async (t) => {
  const { issuer, newBrowser } = await start(t)
  const faults: Record<string, (answer: Answer, ctx: { status: number; body: unknown }) => unknown> = {
    'a server error': (_answer, ctx) => {
      ctx.status = 500
    },
    'a page': (_answer, ctx) => {
      ctx.body = '<p>down for maintenance'
    },
    'a list': (_answer, ctx) => {
      ctx.body = [1]
    },
    'no access token': (answer) => delete answer['access_token'],
    'an access token of another type': (answer) => {
      answer['token_type'] = 'mac'
    },
    'an access token of type DPoP': (answer) => {
      answer['token_type'] = 'DPoP'
    },
    'an access token that is a number': (answer) => {
      answer['access_token'] = 7
    },
    'a negative lifetime': (answer) => {
      answer['expires_in'] = -1
    },
  }
  for (const [what, fault] of Object.entries(faults)) {
    issuer.rewrite('/token', fault)
    await assertRejected(newBrowser(), what)
  }
})

test('a token answer that does not arrive in time gives no session', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  const { newBrowser } = await startInjectGateway(t, { issuer, env: { OIDC_TIMEOUT: '200ms' } })
  const asked = Promise.withResolvers<void>()
  issuer.rewrite('/token', () => asked.promise)
  t.after(() => asked.resolve())
  await assertRejected(newBrowser(), 'no answer')
})

test('UserInfo with another sub is rejected', async (t) => {
  const { issuer, newBrowser } = await start(t)
  issuer.rewrite('/me', (answer) => Object.assign(answer, { sub: 'bob' }))
  await assertRejected(newBrowser(), 'bob')
})

test('UserInfo without a sub is ignored', async (t) => {
  const { issuer, newBrowser } = await start(t)
  for (const sub of [undefined, '', 7]) {
    issuer.rewrite('/me', (answer) => Object.assign(answer, { sub, department: 'Sales' }))
    const browser = newBrowser()
    await browser.signIn()
    const text = (await browser.call('/bff/user')).body
    assert.match(text, /"alice"/)
    assert.doesNotMatch(text, /Sales/)
  }
})

test('UserInfo adds claims, and never changes sub or sid', async (t) => {
  const { issuer, newBrowser } = await start(t)
  issuer.rewrite('/me', (answer) =>
    Object.assign(answer, { department: 'Sales', iss: 'https://evil.example', sid: 'x' }),
  )
  const browser = newBrowser()
  await browser.signIn()

  const { claims } = (await browser.call('/bff/session')).json()

  const claimed = (name: string) => claims.find(({ type }: { type: string }) => type === name)?.value
  assert.equal(claimed('department'), 'Sales')
  assert.equal(claimed('sub'), 'alice')
  assert.equal(claimed('iss'), undefined)
  assert.notEqual(claimed('sid'), 'x')
})

test('with OIDC_USERINFO=false the ID token is enough, and UserInfo is not asked', async (t) => {
  const issuer = await startFaultyIssuer()
  t.after(() => issuer.close())
  let asked = 0
  issuer.rewrite('/me', () => {
    asked++
  })
  const { newBrowser } = await startInjectGateway(t, { issuer, env: { OIDC_USERINFO: 'false' } })
  const browser = newBrowser()
  await browser.signIn()

  assert.equal((await browser.call('/bff/session')).json().identity.name, 'Alice Example')
  assert.equal(asked, 0)
})

test('a UserInfo endpoint that is down or refuses the token does not fail a login', async (t) => {
  const { issuer, newBrowser } = await start(t)
  for (const status of [401, 403, 500, 503]) {
    issuer.rewrite('/me', (_answer, ctx) => {
      ctx.status = status
      ctx.body = { error: 'x' }
    })
    await assertAccepted(newBrowser())
  }
})

test('without a sid of the issuer the gateway makes one', async (t) => {
  const { issuer, newBrowser } = await start(t)
  withIdToken(issuer, ({ sid: _, ...claims }) => issuer.sign(claims))
  const browser = newBrowser()
  await browser.signIn()
  const other = newBrowser()
  await other.signIn()

  const [own, others] = await Promise.all(
    [browser, other].map(async (one) => (await one.call('/bff/session')).json().sid),
  )
  assert.match(own, /^[\w-]{22}$/)
  assert.notEqual(own, others)
})

test('without expires_in a login succeeds, and the expiry of the token is unknown', async (t) => {
  const { issuer, newBrowser } = await start(t)
  issuer.rewrite('/token', (answer) => delete answer['expires_in'])
  const browser = newBrowser()
  await browser.signIn()
  const { accessToken } = (await browser.call('/bff/session')).json()
  assert.deepEqual([accessToken.expiresUtc, accessToken.expiresIn], [null, null])
})

test('a scope that the issuer omits is the requested one', async (t) => {
  const { issuer, newBrowser } = await start(t)
  issuer.rewrite('/token', (answer) => delete answer['scope'])
  const browser = newBrowser()
  const asked = new URL(await browser.beginLogin()).searchParams.get('scope')
  await browser.signIn()
  assert.equal((await browser.call('/bff/session')).json().accessToken.scope, asked)
})

test('optional fields of the token answer may be null or empty, required ones not', async (t) => {
  const { issuer, newBrowser } = await start(t)
  const answerWith = (member: string, blank: null | '') =>
    issuer.rewrite('/token', (answer, ctx) =>
      Object.assign(ctx, { body: JSON.stringify({ ...answer, [member]: blank }), type: 'json' }),
    )
  for (const blank of [null, ''] as const) {
    for (const optional of ['expires_in', 'refresh_token', 'scope']) {
      answerWith(optional, blank)
      await assertAccepted(newBrowser())
    }
    for (const needed of ['access_token', 'token_type', 'id_token']) {
      answerWith(needed, blank)
      await assertRejected(newBrowser(), needed)
    }
  }
})

/** Signed by HMAC with the client secret. */
async function hs256(claims: JWTPayload, secret: string): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret))
}
