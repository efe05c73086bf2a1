import * as oidc from 'openid-client'
import { endpoint } from './discovery.ts'
import type { EndSessionRequest, IssuerOptions } from './issuer.ts'

/**
 * The URL where the browser logs out: that of the options, or else the metadata's end session endpoint.
 * @param configuration undefined while the metadata are unknown
 */
export function endSessionUrl(
  { idToken, postLogoutRedirectUri, state }: EndSessionRequest,
  { issuer, clientId, logoutUrl }: Pick<IssuerOptions, 'issuer' | 'clientId' | 'logoutUrl'>,
  configuration: oidc.Configuration | undefined,
): URL | undefined {
  if (logoutUrl !== undefined) {
    const values = { client_id: clientId, return_url: postLogoutRedirectUri.href }
    return new URL(fill(logoutUrl, values))
  }
  // An endpoint that is no URL is ignored: the session here has already ended.
  const named = configuration?.serverMetadata().end_session_endpoint
  if (!configuration || !endpoint(named, issuer)) return undefined
  return oidc.buildEndSessionUrl(configuration, {
    post_logout_redirect_uri: postLogoutRedirectUri.href,
    state,
    ...(idToken !== undefined && { id_token_hint: idToken }),
  })
}

function fill(template: string, values: Record<string, string>): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name] ?? ''))
}
