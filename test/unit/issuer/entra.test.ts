import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import * as oidc from 'openid-client'
import { createDecryption } from '../../../plugins/issuer/decryption.ts'
import { discover } from '../../../plugins/issuer/discovery.ts'
import { checkIdToken } from '../../../plugins/issuer/id-token.ts'
import type { IssuerOptions } from '../../../plugins/issuer/issuer.ts'
import { createKeySet } from '../../../plugins/issuer/issuer-keys.ts'
import { sidIndex, sidIssuer } from '../../../plugins/session/session-indexes.ts'

const base = 'https://login.microsoftonline.com'
const tenant = '11111111-2222-3333-4444-555555555555'

/** Microsoft Entra ID, as far as a login needs it. @param iss of the ID token */
async function entra(endpoint: string, iss: string) {
  const { privateKey, publicKey } = await generateKeyPair('RS256')
  const named = endpoint === tenant ? tenant : '{tenantid}'
  const answers: Record<string, object> = {
    'openid-configuration': {
      issuer: `${base}/${named}/v2.0`,
      authorization_endpoint: `${base}/${endpoint}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/${endpoint}/oauth2/v2.0/token`,
      jwks_uri: `${base}/${endpoint}/discovery/v2.0/keys`,
      id_token_signing_alg_values_supported: ['RS256'],
    },
    keys: { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', issuer: `${base}/{tenantid}/v2.0` }] },
    token: {
      token_type: 'Bearer',
      access_token: 'at',
      id_token: await new SignJWT({ tid: tenant, nonce: 'n' })
        .setProtectedHeader({ alg: 'RS256', kid: 'k' })
        .setIssuer(iss)
        .setAudience('gateway')
        .setSubject('s')
        .setIssuedAt()
        .setExpirationTime('1h')
        .sign(privateKey),
    },
  }
  const fetch = async (url: string | URL) => Response.json(answers[String(url).split('/').at(-1) ?? ''])
  const options: IssuerOptions = {
    issuer: new URL(`${base}/${endpoint}/v2.0`),
    clientId: 'gateway',
    clientSecret: 's',
    clockToleranceMs: 30_000,
    dpop: false,
    par: 'auto',
    requestObject: 'auto',
    responseMode: 'query',
    issParameter: 'auto',
    userinfo: false,
    timeoutMs: 1000,
  }
  const means = {
    transport: { fetch, load: async () => {}, publicMetadata: (text: string) => text },
    decryption: createDecryption(undefined),
    verifyUserInfo: async () => '',
  }
  const { redeeming } = await discover(options, means)
  const answer = await oidc.authorizationCodeGrant(
    redeeming,
    new URL('https://app.example.com/bff/callback?code=c&state=x'),
    { expectedState: 'x', expectedNonce: 'n', pkceCodeVerifier: 'v'.repeat(43) },
  )
  const keys = createKeySet(options, 0, 1, fetch)(redeeming.serverMetadata())
  await checkIdToken(answer.id_token ?? '', answer.access_token, keys)
  return answer.claims()?.iss
}

test("users of every tenant log in at Entra's multi-tenant endpoints, whose ID tokens name the tenant", async () => {
  const iss = `${base}/${tenant}/v2.0`
  for (const endpoint of ['organizations', 'common', tenant]) assert.equal(await entra(endpoint, iss), iss)
  for (const foreign of [
    `${base}/another-tenant/v2.0`,
    'https://evil.example/v2.0',
    `${base}/{tenantid}/v2.0`,
  ])
    await assert.rejects(entra('organizations', foreign), { code: 'OAUTH_JWT_CLAIM_COMPARISON_FAILED' })
})

test('a front-channel notice of Entra, which names no issuer, finds the session of any tenant', () => {
  const metadata = `${base}/{tenantid}/v2.0`
  assert.equal(sidIndex(metadata, 'c', 's'), sidIndex(`${base}/${tenant}/v2.0`, 'c', 's'))
  assert.notEqual(sidIndex(metadata, 'c', 's'), sidIndex(metadata, 'c', 'other'))
  assert.equal(sidIssuer('https://login.example.com/realms/x'), 'https://login.example.com/realms/x')
  assert.equal(
    sidIssuer('https://login.microsoftonline.com.evil.example/x'),
    'https://login.microsoftonline.com.evil.example/x',
  )
})
