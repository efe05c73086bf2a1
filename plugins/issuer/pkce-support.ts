import type { ServerMetadata } from 'openid-client'

/** Many an issuer that supports PKCE does not say so, Microsoft Entra among them. */
export type PkceSupport = 'supported' | 'unsupported' | 'unsaid'

/**
 * What metadata say of PKCE with `S256`. It is sent in any case, and no login relies on it alone: where an issuer
 * ignores it, `state` still tells a forged callback, and `nonce` a code of another login.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9700#section-4.7.1
 */
export function pkceSupport(metadata: Pick<ServerMetadata, 'code_challenge_methods_supported'>): PkceSupport {
  const methods: unknown = metadata.code_challenge_methods_supported
  if (!Array.isArray(methods)) return 'unsaid'
  return methods.includes('S256') ? 'supported' : 'unsupported'
}
