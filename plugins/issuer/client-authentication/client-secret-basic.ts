import type { ClientAuthenticationMethod } from './method.ts'

/** The secret in the `Authorization` header. @see https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1 */
export const clientSecretBasic: ClientAuthenticationMethod = {
  isPossible: ({ clientSecret }) => clientSecret !== undefined,

  async prepare({ clientSecret = '' }) {
    return (_server, { client_id: clientId }, _body, headers) => {
      const credentials = `${formEncoded(clientId)}:${formEncoded(clientSecret)}`
      headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`)
    }
  },
}

/**
 * By the `application/x-www-form-urlencoded` algorithm, which leaves `*-._` as they are. openid-client encodes these
 * too, which GitLab and LemonLDAP do not decode.
 * @see https://url.spec.whatwg.org/#application-x-www-form-urlencoded-percent-encode-set
 */
function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}
