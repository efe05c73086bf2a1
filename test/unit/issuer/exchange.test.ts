import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { createNonces } from '../../../plugins/issuer/dpop/nonces.ts'
import { createGrants } from '../../../plugins/issuer/grants.ts'
import { refreshAnswerFetch } from '../../../plugins/issuer/token-answers.ts'
import { boundedFetch } from '../../../plugins/issuer/transport.ts'
import { createFakeClock } from '../../support/fake-clock.ts'

/** Grants at an issuer whose token endpoint gives this answer. */
function grantsAt(answer: object) {
  const issuer = 'https://login.example.com'
  const configuration = new oidc.Configuration({ issuer, token_endpoint: `${issuer}/token` }, 'gateway')
  const json = JSON.stringify(answer)
  const rearranging = refreshAnswerFetch(boundedFetch)
  const url = `data:application/json,${encodeURIComponent(json)}`
  configuration[oidc.customFetch] = () => rearranging(url, { method: 'GET' } as never)
  return createGrants({
    configuration: async () => configuration,
    clock: createFakeClock(),
    timeoutMs: 1000,
    newKey: async () => undefined,
    nonces: createNonces(),
  })
}

test("a token exchange gives an access token only, nothing that would replace the session's own tokens", async () => {
  const grants = grantsAt({
    access_token: 'for-the-api',
    token_type: 'Bearer',
    expires_in: 30,
    refresh_token: 'of-the-exchanged-token',
    id_token: 'about-the-exchange',
  })
  assert.deepEqual(await grants.exchange('access', { audience: 'api' }), {
    outcome: 'granted',
    tokens: { accessToken: 'for-the-api', tokenType: 'Bearer', expiresInMs: 30_000 },
  })
})
