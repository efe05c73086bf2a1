import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { decodeJwt, decodeProtectedHeader, type JWK } from 'jose'
import type { ClientMetadata, Configuration } from 'oidc-provider'
import type { IssuerOptions } from '../../demo/issuer.ts'
import { selfSignedCertificate } from '../support/certificate.ts'
import { type FaultyIssuer, metadataPath, startFaultyIssuer } from '../support/faulty-issuer.ts'
import { startInjectGateway } from '../support/inject-gateway.ts'
import { startMutualTlsIssuer } from '../support/mutual-tls.ts'
import { temporaryFile } from '../support/temporary-file.ts'

/** As the gateway authenticated at the token endpoint. */
interface Sent {
  authorization: string
  body: Record<string, string>
}

function tokenRequests({ provider }: FaultyIssuer): Sent[] {
  const sent: Sent[] = []
  provider.use(async (ctx, next) => {
    await next()
    if (ctx.path === '/token') sent.push({ authorization: ctx.get('authorization'), body: ctx['oidc'].body })
  })
  return sent
}

const extras = {
  async localRoutes(app: FastifyInstance) {
    app.get('/renew', async (request) => {
      await request.accessToken({ forceRenewal: true })
      return 'renewed'
    })
  },
}

/** Signs in, renews and logs out, each of which takes client authentication. */
async function useAll(t: TestContext, issuer: FaultyIssuer, env: Record<string, string>) {
  const { newBrowser, log } = await startInjectGateway(t, { issuer, env, extras })
  const browser = newBrowser()
  const answer = await browser.signIn()
  assert.equal(answer.statusCode, 302, `${answer.body} ${log()}`)
  assert.equal((await browser.call('/renew')).body, 'renewed', log())
  assert.equal((await browser.open('/bff/logout')).statusCode, 302)
  assert.doesNotMatch(log(), /token\.revocation\.failed|issuer\.client_auth/)
}

async function start(t: TestContext, clientMetadata: object, options: IssuerOptions = {}) {
  const issuer = await startFaultyIssuer({
    clientMetadata: clientMetadata as Partial<ClientMetadata>,
    configure: (configuration): Configuration => ({
      ...configuration,
      clientAuthMethods: [
        'client_secret_basic',
        'client_secret_post',
        'client_secret_jwt',
        'private_key_jwt',
        'none',
      ],
    }),
    ...options,
  })
  t.after(() => issuer.close())
  return { issuer, sent: tokenRequests(issuer) }
}

const grants = ['authorization_code', 'refresh_token']

test('a client signs in, renews and logs out with its secret in the header, the body or an assertion', async (t) => {
  for (const method of ['client_secret_basic', 'client_secret_post', 'client_secret_jwt']) {
    const { issuer, sent } = await start(t, { token_endpoint_auth_method: method })
    await useAll(t, issuer, { OIDC_CLIENT_AUTH: method })
    assert.deepEqual(
      sent.map(({ body }) => body['grant_type']),
      grants,
    )
    for (const { authorization, body } of sent) {
      assert.equal(authorization !== '', method === 'client_secret_basic')
      assert.equal('client_secret' in body, method === 'client_secret_post')
      assert.equal('client_assertion' in body, method === 'client_secret_jwt')
    }
  }
})

test('a client id and a secret with special characters sign in', async (t) => {
  const special = { clientId: 'my-spa_gateway.x*', clientSecret: "Q~8.x-Yz_12+/=!'() %" }
  const { issuer } = await start(t, {}, special)
  await useAll(t, issuer, {})
})

test('a client with a key signs in, renews and logs out, whatever kind of key it is', async (t) => {
  const kinds: [name: string, pair: { privateKey: KeyObject; publicKey: KeyObject }, alg?: string][] = [
    ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['EdDSA', generateKeyPairSync('ed25519'), 'EdDSA'],
  ]
  for (const [name, { privateKey, publicKey }, alg] of kinds) {
    const known = { kid: `key ${name}`, ...(alg && { alg }) }
    const jwks = { keys: [{ ...(publicKey.export({ format: 'jwk' }) as JWK), ...known }] }
    const { issuer, sent } = await start(t, { token_endpoint_auth_method: 'private_key_jwt', jwks })
    const jwk = JSON.stringify({ ...privateKey.export({ format: 'jwk' }), ...known })
    await useAll(t, issuer, {
      OIDC_CLIENT_SECRET: '',
      OIDC_CLIENT_PRIVATE_KEY_FILE: temporaryFile(t, jwk),
    })
    for (const { authorization, body } of sent) {
      const assertion = body['client_assertion'] ?? ''
      assert.equal(authorization, '')
      assert.deepEqual(decodeProtectedHeader(assertion), { alg: name, kid: known.kid })
      const { aud, iss, sub, iat = 0, exp = 0, nbf, jti } = decodeJwt(assertion)
      assert.deepEqual([aud, iss, sub, nbf], [issuer.issuer, 'demo', 'demo', undefined])
      assert.ok(exp - iat <= 60 && jti)
    }
  }
})

test('a public client only says who it is', async (t) => {
  const { issuer, sent } = await start(t, { token_endpoint_auth_method: 'none' })
  await useAll(t, issuer, { OIDC_CLIENT_AUTH: 'none' })
  for (const { authorization, body } of sent) {
    assert.equal(authorization, '')
    assert.equal(body['client_id'], 'demo')
    assert.ok(!('client_secret' in body) && !('client_assertion' in body))
  }
})

test('a client certificate of an authority authenticates, at the aliases that the issuer has for it', async (t) => {
  const { issuer, authority, seen } = await startMutualTlsIssuer(t, {
    clientMetadata: {
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_dns: 'gateway.example.com',
    },
  })
  const { cert, key } = authority.issue('gateway.example.com')
  await useAll(t, issuer, {
    OIDC_CLIENT_SECRET: '',
    OIDC_CLIENT_CERT_FILE: temporaryFile(t, cert),
    OIDC_CLIENT_KEY_FILE: temporaryFile(t, key),
  })
  const subject = 'gateway.example.com'
  const paths = ['/token', '/me', '/token', '/token/revocation']
  assert.deepEqual(
    seen,
    paths.map((path) => ({ path, subject })),
  )
})

test('a self-signed certificate authenticates where the issuer knows it', async (t) => {
  const { cert, key } = selfSignedCertificate()
  const der = new X509Certificate(cert).raw.toString('base64')
  const jwk = { ...createPublicKey(cert).export({ format: 'jwk' }), x5c: [der] }
  const { issuer, seen } = await startMutualTlsIssuer(t, {
    clientMetadata: {
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [jwk] },
    } as never,
  })
  const env = {
    OIDC_CLIENT_SECRET: '',
    OIDC_CLIENT_AUTH: 'self_signed_tls_client_auth',
    OIDC_CLIENT_CERT_FILE: temporaryFile(t, cert),
    OIDC_CLIENT_KEY_FILE: temporaryFile(t, key),
  }
  await useAll(t, issuer, env)
  assert.ok(seen.length > 0 && seen.every(({ subject }) => subject === 'localhost'))

  const other = selfSignedCertificate()
  const foreign = await startInjectGateway(t, {
    issuer,
    env: {
      ...env,
      OIDC_CLIENT_CERT_FILE: temporaryFile(t, other.cert),
      OIDC_CLIENT_KEY_FILE: temporaryFile(t, other.key),
    },
  })
  assert.equal((await foreign.newBrowser().signIn()).statusCode, 400)
  assert.match(foreign.log(), /"event":"login\.rejected","reason":"invalid_client"/)
})

test('an issuer that offers no method that is possible is unavailable, and the log says what it offers', async (t) => {
  const { issuer, sent } = await start(t, {})
  issuer.rewrite(metadataPath, (metadata) => {
    metadata['token_endpoint_auth_methods_supported'] = ['private_key_jwt', 'tls_client_auth']
  })
  const { newBrowser, log } = await startInjectGateway(t, { issuer })
  assert.equal((await newBrowser().open('/bff/login')).statusCode, 503)
  assert.match(log(), /but the issuer offers private_key_jwt, tls_client_auth: give the gateway/)
  assert.deepEqual(sent, [])
})

test('a method that is named is used although the issuer does not list it, and the log says so once', async (t) => {
  const { issuer, sent } = await start(t, { token_endpoint_auth_method: 'client_secret_post' })
  issuer.rewrite(metadataPath, (metadata) => {
    metadata['token_endpoint_auth_methods_supported'] = ['private_key_jwt']
  })
  const { newBrowser, log } = await startInjectGateway(t, {
    issuer,
    env: { OIDC_CLIENT_AUTH: 'client_secret_post' },
  })
  assert.equal((await newBrowser().signIn()).statusCode, 302)
  assert.ok('client_secret' in (sent[0]?.body ?? {}))
  const warnings = log().match(/"event":"issuer\.client_auth\.not_offered","method":"client_secret_post"/g)
  assert.equal(warnings?.length, 1)
})
