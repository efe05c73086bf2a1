import { ClientSecretJwt, ClientSecretPost, modifyAssertion } from 'openid-client'
import { assertionClaims, type ClientAuthenticationMethod, type ClientCredentials } from './method.ts'

/** The secret in the `Authorization` header. @see https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1 */
export const clientSecretBasic: ClientAuthenticationMethod = {
  isPossible: hasSecret,

  async prepare({ clientSecret = '' }) {
    return (_server, { client_id: clientId }, _body, headers) => {
      const credentials = `${formEncoded(clientId)}:${formEncoded(clientSecret)}`
      headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`)
    }
  },
}

/** The secret in the request's body. @see https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1 */
export const clientSecretPost: ClientAuthenticationMethod = {
  isPossible: hasSecret,
  prepare: async ({ clientSecret = '' }) => ClientSecretPost(clientSecret),
}

/**
 * An assertion that is signed (HS256) with the secret.
 * @see https://openid.net/specs/openid-connect-core-1_0.html#ClientAuthentication
 */
export const clientSecretJwt: ClientAuthenticationMethod = {
  isPossible: hasSecret,

  async prepare({ clientSecret = '', clientAssertionAudience }, server) {
    return ClientSecretJwt(clientSecret, {
      [modifyAssertion]: (_header, payload) => assertionClaims(payload, server, clientAssertionAudience),
    })
  },
}

function hasSecret({ clientSecret }: ClientCredentials): boolean {
  return clientSecret !== undefined
}

/**
 * By the `application/x-www-form-urlencoded` algorithm, which leaves `*-._` as they are. openid-client encodes these
 * too, which GitLab and LemonLDAP do not decode.
 * @see https://url.spec.whatwg.org/#application-x-www-form-urlencoded-percent-encode-set
 */
function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}
