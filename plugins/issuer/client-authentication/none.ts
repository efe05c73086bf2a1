import { None } from 'openid-client'
import type { ClientAuthenticationMethod } from './method.ts'

/** A public client: it only says who it is. */
export const none: ClientAuthenticationMethod = {
  isPossible: ({ clientSecret, clientPrivateKeyFile, clientCertFile }) =>
    [clientSecret, clientPrivateKeyFile, clientCertFile].every((credential) => credential === undefined),
  prepare: async () => None(),
}
