import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { createNonces } from '../../../plugins/issuer/dpop/nonces.ts'
import { createGrants } from '../../../plugins/issuer/grants.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

test('besides the authorization code there are only these grants, and no password grant', async () => {
  const issuer = 'https://login.example.com'
  const configuration = new oidc.Configuration({ issuer, token_endpoint: `${issuer}/token` }, 'gateway')
  const asked: Record<string, string>[] = []
  configuration[oidc.customFetch] = async (_url, { body }) => {
    asked.push(Object.fromEntries(new URLSearchParams(String(body))))
    return Response.json({ access_token: 'a', token_type: 'Bearer' })
  }
  const { refresh, exchange, clientCredentials, ...others } = createGrants({
    configuration: async () => configuration,
    clock: createFakeClock(),
    timeoutMs: 1000,
    newKey: async () => undefined,
    nonces: createNonces(),
  })
  assert.deepEqual(others, {})

  const outcomes = [await refresh('r'), await exchange('a', { audience: 'api' }), await clientCredentials({})]

  assert.ok(outcomes.every(({ outcome }) => outcome === 'granted'))
  assert.deepEqual(
    asked.map((parameters) => parameters['grant_type']),
    ['refresh_token', 'urn:ietf:params:oauth:grant-type:token-exchange', 'client_credentials'],
  )
  for (const parameters of asked) assert.ok(!('username' in parameters) && !('password' in parameters))
})
