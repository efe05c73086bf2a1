import { ClientSecretPost } from 'openid-client'
import type { ClientAuthenticationMethod } from './method.ts'

/** The secret in the request's body. @see https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1 */
export const clientSecretPost: ClientAuthenticationMethod = {
  isPossible: ({ clientSecret }) => clientSecret !== undefined,
  prepare: async ({ clientSecret = '' }) => ClientSecretPost(clientSecret),
}
