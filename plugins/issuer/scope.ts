import type { ServerMetadata } from 'openid-client'

/**
 * The scopes to ask for if none are configured. Without `offline_access`, some issuers give no refresh token; others
 * refuse the unknown scope, so it is asked for only where the metadata list it.
 * @see https://openid.net/specs/openid-connect-core-1_0.html#OfflineAccess
 */
export function defaultScope({ scopes_supported: supported }: ServerMetadata): string {
  const offline = Array.isArray(supported) && supported.includes('offline_access')
  return `openid profile email${offline ? ' offline_access' : ''}`
}
