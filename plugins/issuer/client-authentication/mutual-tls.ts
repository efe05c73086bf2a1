import { TlsClientAuth } from 'openid-client'
import type { ClientAuthenticationMethod } from './method.ts'

/**
 * The certificate of the TLS connection (see ../transport.ts): verified by its authority (`tls_client_auth`) or
 * registered itself (`self_signed_tls_client_auth`), which makes no difference on this side.
 * @see https://www.rfc-editor.org/rfc/rfc8705#section-2
 */
export const mutualTls: ClientAuthenticationMethod = {
  isPossible: ({ clientCertFile }) => clientCertFile !== undefined,
  prepare: async () => TlsClientAuth(),
}
