import type { ServerMetadata } from 'openid-client'
import * as oidc from 'openid-client'
import { boundedFetch } from './bounded-fetch.ts'
import { clientAuthentication } from './client-authentication.ts'
import type { IssuerOptions } from './issuer.ts'
import { loginAnswerFetch, refreshAnswerFetch } from './token-answers.ts'

/** openid-client configurations for one issuer, each with its own `fetch` and timeout. */
export interface Configurations {
  /** For requests that a user waits for. */
  interactive: oidc.Configuration
  /**
   * For authorization codes. Does not check the ID token's signature, so the caller must: openid-client refetches the
   * key set at most once a minute, and would reject all logins for that long after the issuer has rotated its key.
   */
  redeeming: oidc.Configuration
  /**
   * For all other grants. A longer timeout: even a late answer is needed, because the refresh token is already spent.
   */
  grants: oidc.Configuration
}

/**
 * Fetches the issuer's metadata.
 * @throws when they can't be fetched, name another issuer, or lack an endpoint that every login needs
 */
export async function discover(options: IssuerOptions): Promise<Configurations> {
  const authentication = await clientAuthentication(options)
  const insecure = options.issuer.protocol === 'http:'
  const interactive = await oidc
    .discovery(options.issuer, options.clientId, {}, authentication, {
      timeout: options.timeoutMs / 1000,
      [oidc.customFetch]: boundedFetch as oidc.CustomFetch,
      ...(insecure && { execute: [oidc.allowInsecureRequests] }),
    })
    .catch((error: unknown) => {
      throw explainMismatch(error, options.issuer)
    })
  const { authorization_endpoint: authorizationEndpoint, token_endpoint: tokenEndpoint } =
    interactive.serverMetadata()
  for (const needed of [authorizationEndpoint, tokenEndpoint])
    if (!endpoint(needed, options.issuer)) throw new TypeError('The issuer names no usable endpoints')
  // Without this the signature of a UserInfo response is not checked.
  oidc.enableNonRepudiationChecks(interactive)
  return {
    interactive,
    redeeming: withFetch(loginAnswerFetch(tokenEndpoint), options.timeoutMs / 1000),
    grants: withFetch(refreshAnswerFetch(2.5 * options.timeoutMs)),
  }

  /** @param timeout in seconds. Unset: `fetch` applies its own. */
  function withFetch(fetch: oidc.CustomFetch, timeout?: number): oidc.Configuration {
    const configuration = new oidc.Configuration(
      interactive.serverMetadata(),
      options.clientId,
      {},
      authentication,
    )
    configuration.timeout = timeout
    configuration[oidc.customFetch] = fetch
    if (insecure) oidc.allowInsecureRequests(configuration)
    return configuration
  }
}

/** Names both issuers in the error if they differ, often only by a trailing slash. */
function explainMismatch(error: unknown, issuer: URL): unknown {
  const isAnother =
    error instanceof oidc.ClientError && error.code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED'
  if (!isAnother) return error
  const { body } = error.cause as { body: oidc.ServerMetadata }
  return new Error(
    `The issuer is configured as ${issuer.href}, and calls itself ${body.issuer}: these must be the same to the letter`,
    { cause: error },
  )
}

/** `unsaid`: the metadata don't mention it. Many issuers that support PKCE don't, for example Microsoft Entra. */
export type PkceSupport = 'supported' | 'unsupported' | 'unsaid'

/**
 * Whether the metadata announce PKCE with `S256`. The gateway always uses PKCE, but never relies on it only: if an
 * issuer ignores it, `state` still detects a forged callback, and `nonce` a code of another login.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9700#section-4.7.1
 */
export function pkceSupport(metadata: Pick<ServerMetadata, 'code_challenge_methods_supported'>): PkceSupport {
  const methods: unknown = metadata.code_challenge_methods_supported
  if (!Array.isArray(methods)) return 'unsaid'
  return methods.includes('S256') ? 'supported' : 'unsupported'
}

/**
 * Parses an endpoint of the metadata. Accepts https; plain http only if the issuer itself uses http (loopback), so that
 * neither a browser nor a token is sent over an unprotected connection. @returns undefined for anything else
 */
export function endpoint(named: unknown, issuer: URL): URL | undefined {
  const url = typeof named === 'string' ? URL.parse(named) : null
  return url && (url.protocol === 'https:' || url.protocol === issuer.protocol) ? url : undefined
}
