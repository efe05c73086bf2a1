import * as oidc from 'openid-client'
import type { ProofOptions } from './dpop/issuer-proofs.ts'
import type { Fetch } from './transport.ts'

/** The claims of UserInfo, or none if it can't be fetched: the ID token is enough. Throws if its `sub` is another user's.
 *  @param onFailure called if it can't be fetched
 *  @see https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse */
export async function fetchUserInfo(
  configuration: oidc.Configuration,
  accessToken: string,
  subject: string,
  proofs: ProofOptions,
  onFailure: (error: unknown) => void,
): Promise<Record<string, unknown>> {
  if (configuration.serverMetadata().userinfo_endpoint === undefined) return {}
  try {
    return await oidc.fetchUserInfo(configuration, accessToken, subject, proofs)
  } catch (error) {
    if (error instanceof oidc.ClientError && error.code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED')
      throw error
    onFailure(error)
    return {}
  }
}

/**
 * Gives openid-client the UserInfo of an issuer that signs or encrypts it as plain JSON.
 *
 * openid-client refetches the key set at most once a minute, and fails if several keys fit.
 * @param verify verifies and decrypts. @returns the claims as JSON
 */
export function userInfoFetch(fetch: Fetch, verify: (jwt: string) => Promise<string>): Fetch {
  return async (url, options) => {
    const response = await fetch(url, options)
    const { status, headers } = response
    const [type] = headers.get('content-type')?.split(';') ?? []
    if (status !== 200 || type?.trim().toLowerCase() !== 'application/jwt') return response
    const claims = await verify((await response.text()).trim())
    return new Response(claims, { status, headers: { 'content-type': 'application/json' } })
  }
}
