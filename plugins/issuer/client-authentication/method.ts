import type { ClientAuth, ServerMetadata } from 'openid-client'

/** What the gateway can authenticate with. Files are read again whenever metadata are fetched. */
export interface ClientCredentials {
  clientSecret?: string
  /** JWK, JWKS or PEM. */
  clientPrivateKeyFile?: string
  /** PEM. Presented to the issuer in each TLS handshake. */
  clientCertFile?: string
  /** PEM, without a passphrase. */
  clientKeyFile?: string
  /** `aud` of client assertions: `issuer` (if unset), `token_endpoint`, or the audience itself. */
  clientAssertionAudience?: string
}

/** One method of client authentication. */
export interface ClientAuthenticationMethod {
  /** Whether the credentials for it are set. */
  isPossible(credentials: ClientCredentials): boolean
  /** @throws when a file can't be read or doesn't hold what it must */
  prepare(credentials: ClientCredentials, server: ServerMetadata): Promise<ClientAuth>
}

/** Adapts the claims of a client assertion. @see https://www.rfc-editor.org/rfc/rfc7523#section-3 */
export function assertionClaims(
  claims: Record<string, unknown>,
  { issuer, token_endpoint: tokenEndpoint = issuer }: ServerMetadata,
  audience = 'issuer',
): void {
  // Optional, and an issuer whose clock is behind would refuse it.
  delete claims['nbf']
  if (audience !== 'issuer') claims['aud'] = audience === 'token_endpoint' ? tokenEndpoint : audience
}
