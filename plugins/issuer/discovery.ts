import type { ServerMetadata } from 'openid-client'
import * as oidc from 'openid-client'
import { boundedFetch } from './bounded-fetch.ts'
import { clientAuthentication } from './client-authentication.ts'
import type { IssuerOptions } from './issuer.ts'
import { loginAnswerFetch, refreshAnswerFetch } from './token-answers.ts'

/** openid-client's view of the issuer, once its metadata are known. */
export interface Configurations {
  /** For what a person waits for. */
  interactive: oidc.Configuration
  /**
   * For codes. It leaves the signature of the ID token to be checked: openid-client looks for keys that it misses once
   * a minute at the most, and would decline all logins after the issuer has changed its key.
   */
  redeeming: oidc.Configuration
  /** For refresh token grants: an answer that comes late is still worth having, since the token is spent. */
  patient: oidc.Configuration
}

/**
 * Fetches the issuer's metadata.
 * @throws when they can't be had, are another's, or lack what no login can do without
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
      throw explained(error, options.issuer)
    })
  const { authorization_endpoint: wayIn, token_endpoint: grants } = interactive.serverMetadata()
  for (const needed of [wayIn, grants])
    if (!endpoint(needed, options.issuer)) throw new TypeError('The issuer names no usable endpoints')
  // Without this the signature of a UserInfo answer is not looked at.
  oidc.enableNonRepudiationChecks(interactive)
  return {
    interactive,
    redeeming: another(loginAnswerFetch(grants), options.timeoutMs / 1000),
    patient: another(refreshAnswerFetch(2.5 * options.timeoutMs)),
  }

  /** @param timeout in seconds. Unset: `fetch` has one of its own. */
  function another(fetch: oidc.CustomFetch, timeout?: number): oidc.Configuration {
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

/** Names both issuers where they differ, as they easily do by a slash at the end. */
function explained(error: unknown, issuer: URL): unknown {
  const isAnother =
    error instanceof oidc.ClientError && error.code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED'
  if (!isAnother) return error
  const { body } = error.cause as { body: oidc.ServerMetadata }
  return new Error(
    `The issuer is configured as ${issuer.href}, and calls itself ${body.issuer}: these must be the same to the letter`,
    { cause: error },
  )
}

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

/**
 * An endpoint as metadata name it, if it is one to send a browser or a token to: by https, or by plain http where the
 * issuer itself is reached so, which is loopback.
 */
export function endpoint(named: unknown, issuer: URL): URL | undefined {
  const url = typeof named === 'string' ? URL.parse(named) : null
  return url && (url.protocol === 'https:' || url.protocol === issuer.protocol) ? url : undefined
}
