import * as oidc from 'openid-client'

/** The claims of UserInfo, or none if it can't be fetched: the ID token is enough. Throws if its `sub` is another user's.
 *  @param onFailure called if it can't be fetched
 *  @see https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse */
export async function fetchUserInfo(
  configuration: oidc.Configuration,
  accessToken: string,
  subject: string,
  onFailure: (error: unknown) => void,
): Promise<Record<string, unknown>> {
  if (configuration.serverMetadata().userinfo_endpoint === undefined) return {}
  try {
    return await oidc.fetchUserInfo(configuration, accessToken, subject)
  } catch (error) {
    if (error instanceof oidc.ClientError && error.code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED')
      throw error
    onFailure(error)
    return {}
  }
}
