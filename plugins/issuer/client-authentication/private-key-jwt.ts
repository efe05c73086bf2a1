import { modifyAssertion, PrivateKeyJwt } from 'openid-client'
import { assertionClaims, type ClientAuthenticationMethod } from './method.ts'
import { readSigningKey } from './signing-key.ts'

/** An assertion that is signed with the gateway's private key. @see https://www.rfc-editor.org/rfc/rfc7523#section-2.2 */
export const privateKeyJwt: ClientAuthenticationMethod = {
  isPossible: ({ clientPrivateKeyFile }) => clientPrivateKeyFile !== undefined,

  async prepare(credentials, server) {
    const { key, header } = await readSigningKey(
      credentials,
      server.token_endpoint_auth_signing_alg_values_supported,
    )
    return PrivateKeyJwt(key, {
      [modifyAssertion](assertionHeader, claims) {
        Object.assign(assertionHeader, header)
        assertionClaims(claims, server, credentials.clientAssertionAudience)
      },
    })
  },
}
