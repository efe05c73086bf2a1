import * as oidc from 'openid-client'

/** The claims of UserInfo, or none when it can't be had: the ID token has said who it is. A foreign `sub` throws.
 *  @param onFailure when it can't be had
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
