import type { ServerMetadata } from 'openid-client'

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
