import { ClientSecretJwt, modifyAssertion } from 'openid-client'
import { assertionClaims } from './assertion.ts'
import type { ClientAuthenticationMethod } from './method.ts'

/**
 * An assertion that is signed (HS256) with the secret.
 * @see https://openid.net/specs/openid-connect-core-1_0.html#ClientAuthentication
 */
export const clientSecretJwt: ClientAuthenticationMethod = {
  isPossible: ({ clientSecret }) => clientSecret !== undefined,

  async prepare({ clientSecret = '', clientAssertionAudience }, server) {
    return ClientSecretJwt(clientSecret, {
      [modifyAssertion]: (_header, payload) => assertionClaims(payload, server, clientAssertionAudience),
    })
  },
}
