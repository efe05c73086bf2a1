import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import {
  CompactEncrypt,
  decodeJwt,
  decodeProtectedHeader,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  SignJWT,
} from 'jose'
import type { ClientMetadata, Configuration } from 'oidc-provider'
import { assertError } from '../support/assert-error.ts'
import { type Answer, metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { logoutClaims } from '../support/logout-token.ts'
import { temporaryFile } from '../support/temporary-file.ts'

const extras = {
  async localRoutes(app: FastifyInstance) {
    app.get('/renew', async (request) => {
      await request.accessToken({ forceRenewal: true })
      return 'renewed'
    })
  },
}

interface Setup {
  clientMetadata?: object
  env?: Record<string, string>
}

async function start(t: TestContext, { clientMetadata = {}, env = {} }: Setup = {}) {
  const issuer = await startFaultyIssuer({
    clientMetadata: clientMetadata as Partial<ClientMetadata>,
    configure: (configuration): Configuration => ({
      ...configuration,
      enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256', 'HS256'] },
      features: {
        ...configuration.features,
        encryption: { enabled: true },
        jwtUserinfo: { enabled: true },
      },
    }),
  })
  t.after(() => issuer.close())
  const gateway = await startInjectGateway(t, { issuer, env, extras })
  return { ...gateway, issuer, browser: gateway.newBrowser() }
}

type World = Awaited<ReturnType<typeof start>>

/** Signs the claims of the ID token anew, with a key of the issuer's, from now on. */
function resign({ issuer }: World, change: (claims: JWTPayload, answer: Answer) => JWTPayload | undefined) {
  issuer.rewrite('/token', async (answer) => {
    const claims = change(decodeJwt(String(answer['id_token'])), answer)
    if (claims) answer['id_token'] = await issuer.sign(claims as Record<string, unknown>)
  })
}

async function assertRejected({ browser, log }: World, reason: RegExp) {
  assert.equal((await browser.signIn()).statusCode, 400)
  assert.match(log(), reason)
  assert.equal((await browser.call('/bff/user')).statusCode, 401)
}

test('the algorithm that is agreed on is the only one for ID tokens and logout tokens', async (t) => {
  const agreed = await start(t, { env: { OIDC_ID_TOKEN_ALG: 'ES256' } })
  assert.equal((await agreed.browser.signIn()).statusCode, 302)
  const { body } = await agreed.browser.call('/bff/user')
  const sid = JSON.parse(body).find(({ type }: { type: string }) => type === 'sid')?.value
  const notify = ({ app }: World, token: string) =>
    app.inject({
      method: 'POST',
      url: '/bff/backchannel-logout',
      payload: new URLSearchParams({ logout_token: token }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
  assert.equal(
    (await notify(agreed, await agreed.issuer.sign(logoutClaims(agreed.issuer, { sid })))).statusCode,
    200,
  )

  // The issuer lists ES256 among others, and signs with it.
  const other = await start(t, { env: { OIDC_ID_TOKEN_ALG: 'RS256' } })
  await assertRejected(other, /"event":"login\.rejected","reason":"OAUTH_INVALID_RESPONSE"/)
  const notice = await other.issuer.sign(logoutClaims(other.issuer, { sid }))
  assertError(await notify(other, notice), 400, 'BFF_LOGOUT_REJECTED')
})

test('an ID token may be signed with the client secret where that is agreed on, and only there', async (t) => {
  const clientMetadata = { id_token_signed_response_alg: 'HS256' }
  const agreed = await start(t, { clientMetadata, env: { OIDC_ID_TOKEN_ALG: 'HS256' } })
  assert.equal((await agreed.browser.signIn()).statusCode, 302, agreed.log())
  assert.equal((await agreed.browser.call('/renew')).body, 'renewed')
  assert.doesNotMatch(agreed.log(), /issuer\.id_token/)

  const other = await start(t, { clientMetadata })
  other.issuer.rewrite(metadataPath, (metadata) => {
    metadata['id_token_signing_alg_values_supported'] = ['ES256', 'HS256']
  })
  await assertRejected(other, /"event":"login\.rejected"/)

  const forged = await start(t, { clientMetadata, env: { OIDC_ID_TOKEN_ALG: 'HS256' } })
  forged.issuer.rewrite('/token', async (answer) => {
    const claims = decodeJwt(String(answer['id_token']))
    const secret = new TextEncoder().encode('another secret')
    answer['id_token'] = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(secret)
  })
  await assertRejected(forged, /"event":"login\.rejected","reason":"JWSSignatureVerificationFailed"/)
})

test('an at_hash must be that of the access token', async (t) => {
  const right = await start(t)
  resign(right, (claims) => claims)
  assert.equal((await right.browser.signIn()).statusCode, 302)

  const wrong = await start(t)
  resign(wrong, (claims) => ({ ...claims, at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' }))
  await assertRejected(wrong, /"event":"login\.rejected","reason":"ID_TOKEN_AT_HASH"/)
})

test('times of an ID token are compared with the tolerance that is set', async (t) => {
  const now = () => Math.floor(Date.now() / 1000)
  const late = { exp: () => now() - 100, nbf: () => now() + 100 }
  for (const [claim, time] of Object.entries(late)) {
    const strict = await start(t)
    resign(strict, (claims) => ({ ...claims, [claim]: time() }))
    await assertRejected(strict, /"event":"login\.rejected","reason":"OAUTH_JWT_TIMESTAMP_CHECK_FAILED"/)
    const tolerant = await start(t, { env: { OIDC_CLOCK_TOLERANCE: '5m' } })
    resign(tolerant, (claims) => ({ ...claims, [claim]: time() }))
    assert.equal((await tolerant.browser.signIn()).statusCode, 302)
  }
})

const encryptions: [alg: string, pair: { privateKey: KeyObject; publicKey: KeyObject }, enc: string][] = [
  ['RSA-OAEP-256', generateKeyPairSync('rsa', { modulusLength: 2048 }), 'A256GCM'],
  ['ECDH-ES', generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'A128CBC-HS256'],
]
for (const [alg, { privateKey, publicKey }, enc] of encryptions)
  test(`ID tokens and UserInfo that are encrypted by ${alg} are read, and the session has its ID token`, async (t) => {
    const jwk = { ...(publicKey.export({ format: 'jwk' }) as JWK), use: 'enc', alg, kid: 'for encryption' }
    const clientMetadata = {
      jwks: { keys: [jwk] },
      id_token_encrypted_response_alg: alg,
      id_token_encrypted_response_enc: enc,
      userinfo_signed_response_alg: 'ES256',
      userinfo_encrypted_response_alg: alg,
      userinfo_encrypted_response_enc: enc,
    }
    const file = temporaryFile(t, String(privateKey.export({ type: 'pkcs8', format: 'pem' })))
    const world = await start(t, { clientMetadata, env: { OIDC_DECRYPTION_KEY_FILE: file } })
    const { browser, issuer, log } = world
    const sent: string[] = []
    issuer.rewrite('/token', (answer) => sent.push(String(answer['id_token'])))
    issuer.rewrite('/me', (_answer, ctx) => sent.push(String(ctx.body)))

    assert.equal((await browser.signIn()).statusCode, 302, log())
    assert.equal((await browser.call('/renew')).body, 'renewed')

    assert.equal(sent.length, 3)
    for (const token of sent) assert.equal(decodeProtectedHeader(token).alg, alg)
    assert.doesNotMatch(log(), /issuer\.(id_token|userinfo)/)
    const logout = new URL(String((await browser.open('/bff/logout')).headers['location']))
    assert.equal(decodeJwt(logout.searchParams.get('id_token_hint') ?? '').sub, 'alice')

    const without = await start(t, { clientMetadata })
    await assertRejected(without, /"reason":"TOKEN_NOT_DECRYPTED"/)
    assert.match(
      without.log(),
      /The issuer encrypts for this client, but OIDC_DECRYPTION_KEY_FILE is not set/,
    )
  })

test('UserInfo that is only signed, or only encrypted, is read too', async (t) => {
  const signed = await start(t, { clientMetadata: { userinfo_signed_response_alg: 'ES256' } })
  const types: string[] = []
  signed.issuer.rewrite('/me', (_answer, ctx) => types.push(ctx.type))
  assert.equal((await signed.browser.signIn()).statusCode, 302)
  assert.deepEqual(types, ['application/jwt'])
  assert.doesNotMatch(signed.log(), /issuer\.userinfo/)

  const [, { privateKey, publicKey }] = encryptions[0] as (typeof encryptions)[0]
  const file = temporaryFile(t, JSON.stringify({ keys: [privateKey.export({ format: 'jwk' })] }))
  const encrypted = await start(t, { env: { OIDC_DECRYPTION_KEY_FILE: file } })
  encrypted.issuer.rewrite('/me', async (answer, ctx) => {
    const text = new TextEncoder().encode(JSON.stringify({ ...answer, nickname: 'Allie' }))
    const header = { alg: 'RSA-OAEP-256', enc: 'A256GCM' }
    ctx.body = await new CompactEncrypt(text).setProtectedHeader(header).encrypt(publicKey)
    ctx.type = 'application/jwt'
  })
  assert.equal((await encrypted.browser.signIn()).statusCode, 302)
  assert.match((await encrypted.browser.call('/bff/user')).body, /Allie/)
})

test('UserInfo that is signed by another is not read', async (t) => {
  const world = await start(t, { clientMetadata: { userinfo_signed_response_alg: 'ES256' } })
  const { privateKey } = await generateKeyPair('ES256')
  world.issuer.rewrite('/me', async (_answer, ctx) => {
    const token = new SignJWT({ sub: 'alice', name: 'Mallory' }).setProtectedHeader({ alg: 'ES256' })
    ctx.body = await token.sign(privateKey)
    ctx.type = 'application/jwt'
  })
  assert.equal((await world.browser.signIn()).statusCode, 302)
  assert.match(world.log(), /"event":"issuer\.userinfo\.failed"/)
  assert.doesNotMatch((await world.browser.call('/bff/user')).body, /Mallory/)
})

test('a renewal whose ID token the issuer has not signed ends the session, and its tokens are revoked', async (t) => {
  const { privateKey } = await generateKeyPair('ES256')
  const forgeries: ((world: World, answer: Answer) => Promise<string>)[] = [
    async (_world, answer) => {
      const { kid = '' } = decodeProtectedHeader(String(answer['id_token']))
      const claims = decodeJwt(String(answer['id_token']))
      return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey)
    },
    ({ issuer }, answer) =>
      issuer.sign({ ...decodeJwt(String(answer['id_token'])), at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' }),
  ]
  for (const forge of forgeries) {
    const world = await start(t)
    const { browser, issuer, log } = world
    await browser.signIn()
    issuer.rewrite('/token', async (answer) => {
      answer['id_token'] = await forge(world, answer)
    })
    const revoked: string[] = []
    issuer.rewrite('/token/revocation', (_answer, ctx) => revoked.push(ctx['oidc'].body.token))
    assertError(await browser.call('/renew'), 401, 'BFF_SESSION_ENDED', {
      tokenManagementUsed: true,
      loginUrl: '/bff/login',
    })
    assert.match(log(), /"event":"issuer\.id_token\.invalid"/)
    assert.equal(revoked.length, 2)
  }
})

test('a renewal whose ID token can not be checked, because the keys can not be had, keeps the session', async (t) => {
  const { browser, issuer, log } = await start(t)
  await browser.signIn()
  issuer.rewrite('/jwks', (_answer, ctx) => Object.assign(ctx, { status: 500 }))
  issuer.rewrite('/token', async (answer) => {
    // Names a key that is not known yet.
    answer['id_token'] = await issuer.sign(decodeJwt(String(answer['id_token'])) as Answer, { kid: 'new' })
  })
  assert.equal((await browser.call('/renew')).body, 'renewed')
  assert.match(log(), /"event":"issuer\.id_token\.unchecked"/)
  assert.equal((await browser.call('/bff/user')).statusCode, 200)
})

test('a renewal whose ID token can not be checked ends the session if it names another user, issuer or client', async (t) => {
  const held = Promise.withResolvers<void>()
  t.after(() => held.resolve())
  const foreign = [{ sub: 'mallory' }, { iss: 'https://evil.example' }, { aud: 'another client' }]
  const changes = new Map<string, (answer: Answer, ctx: { status: number }) => unknown>([
    ['the keys can not be had', (_answer, ctx) => Object.assign(ctx, { status: 500 })],
    ['the keys come too late', () => held.promise],
  ])
  for (const [why, change] of changes) {
    for (const claims of foreign) {
      const { browser, issuer, log } = await start(t)
      await browser.signIn()
      issuer.rewrite('/jwks', change)
      issuer.rewrite('/token', async (answer) => {
        const changed = { ...decodeJwt(String(answer['id_token'])), ...claims }
        answer['id_token'] = await issuer.sign(changed, { kid: 'new' })
      })
      const revoked: string[] = []
      issuer.rewrite('/token/revocation', (_answer, ctx) => revoked.push(ctx['oidc'].body.token))
      assertError(await browser.call('/renew'), 401, 'BFF_SESSION_ENDED', {
        tokenManagementUsed: true,
        loginUrl: '/bff/login',
      })
      assert.match(log(), /"event":"issuer\.id_token\.unchecked"/, why)
      assert.match(log(), /"reason":"foreign_identity"/)
      assert.equal(revoked.length, 2)
    }
  }
})
