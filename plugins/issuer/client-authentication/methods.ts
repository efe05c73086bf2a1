import { type ClientAuth, None, type ServerMetadata } from 'openid-client'
import type { ClientAuthenticationName } from '../../../config/index.ts'
import { clientSecretBasic, clientSecretJwt, clientSecretPost } from './client-secret.ts'
import type { ClientAuthenticationMethod, ClientCredentials } from './method.ts'
import { mutualTls } from './mutual-tls.ts'
import { privateKeyJwt } from './private-key-jwt.ts'

/** A public client: it sends only its `client_id`. */
const none: ClientAuthenticationMethod = {
  isPossible: ({ clientSecret, clientPrivateKeyFile, clientCertFile }) =>
    [clientSecret, clientPrivateKeyFile, clientCertFile].every((credential) => credential === undefined),
  prepare: async () => None(),
}

/** All methods, in the order in which they are preferred. @see https://www.rfc-editor.org/rfc/rfc9700#section-2.5 */
const methods: Record<ClientAuthenticationName, ClientAuthenticationMethod> = {
  private_key_jwt: privateKeyJwt,
  client_secret_basic: clientSecretBasic,
  client_secret_post: clientSecretPost,
  client_secret_jwt: clientSecretJwt,
  tls_client_auth: mutualTls,
  self_signed_tls_client_auth: mutualTls,
  none,
}

export interface ChosenMethod {
  name: ClientAuthenticationName
  authentication: ClientAuth
  /** False: the metadata don't list it. */
  isOffered: boolean
}

/**
 * How the gateway authenticates at the issuer.
 *
 * @param wanted is used even if the metadata don't list it, since metadata may be wrong. Unset: the first method
 *   that is listed and whose credentials are set
 * @throws when a file is not usable, or no method is both offered and possible
 */
export async function clientAuthentication(
  credentials: ClientCredentials,
  server: ServerMetadata,
  wanted?: ClientAuthenticationName,
): Promise<ChosenMethod> {
  const offered = offeredBy(server)
  const name = wanted ?? choose(credentials, offered)
  return {
    name,
    authentication: await methods[name].prepare(credentials, server),
    // Public clients don't authenticate, so hardly any issuer lists that.
    isOffered: name === 'none' || offered?.includes(name) !== false,
  }
}

/** Undefined if the metadata don't say. */
function offeredBy({ token_endpoint_auth_methods_supported: offered }: ServerMetadata): string[] | undefined {
  return Array.isArray(offered) ? offered : undefined
}

function choose(credentials: ClientCredentials, offered: string[] | undefined): ClientAuthenticationName {
  const names = Object.keys(methods) as ClientAuthenticationName[]
  const possible = names.filter((name) => methods[name].isPossible(credentials))
  const chosen = possible.find((name) => name === 'none' || offered?.includes(name) !== false)
  if (chosen) return chosen
  throw new Error(
    `What is set allows the client authentication ${possible.join(', ')}, but the issuer offers ${offered?.join(', ') || 'none'}: give the gateway what one of these needs, or name a method by OIDC_CLIENT_AUTH`,
  )
}
