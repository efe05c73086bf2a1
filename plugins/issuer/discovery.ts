import type { ServerMetadata } from 'openid-client'
import * as oidc from 'openid-client'
import { signsRequests } from './authorization-request.ts'
import { type ChosenMethod, clientAuthentication } from './client-authentication/methods.ts'
import { readSigningKey, type SigningKey } from './client-authentication/signing-key.ts'
import type { Decryption } from './decryption.ts'
import { type DpopAlgorithm, dpopAlgorithm } from './dpop/key.ts'
import type { IssuerOptions } from './issuer.ts'
import { loginAnswerFetch, parseAnswer, refreshAnswerFetch } from './token-answers.ts'
import type { Transport } from './transport.ts'
import { userInfoFetch } from './user-info.ts'

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
   * For all other grants, each within `withGrantDeadline`.
   */
  grants: oidc.Configuration
  method: ChosenMethod
  /** Signs authorization requests. Unset: they are not signed. */
  requestKey: SigningKey | undefined
  /** For new keys. Unset: tokens are not bound to keys. */
  dpopAlgorithm: DpopAlgorithm | undefined
}

/** How the issuer is reached, and its answers read. */
export interface Means {
  transport: Transport
  decryption: Decryption
  /** Verifies and decrypts. @returns the claims as JSON */
  verifyUserInfo(jwt: string, server: ServerMetadata): Promise<string>
}

/**
 * Fetches the issuer's metadata.
 * @throws when they can't be fetched, name another issuer, or lack an endpoint that every login needs, or when the
 *   gateway can't authenticate in a way that the issuer offers
 */
export async function discover(
  options: IssuerOptions,
  { transport, decryption, verifyUserInfo }: Means,
): Promise<Configurations> {
  await Promise.all([transport.load(), decryption.load()])
  const { fetch } = transport
  const timeout = options.timeoutMs / 1000
  const { server, answer } = await fetchMetadata(options, transport)
  for (const needed of [server.authorization_endpoint, server.token_endpoint])
    if (!endpoint(needed, options.issuer)) throw new TypeError('The issuer names no usable endpoints')
  const method = await clientAuthentication(options, server, options.clientAuth)

  const readUserInfo = userInfoFetch(fetch, (jwt) => verifyUserInfo(jwt, server))
  return {
    interactive: await configuration(readUserInfo as oidc.CustomFetch, timeout),
    redeeming: await configuration(
      loginAnswerFetch(fetch, tokenEndpoint(server, options), decryption.decrypt),
      timeout,
    ),
    grants: await configuration(refreshAnswerFetch(fetch)),
    method,
    requestKey: signsRequests(options, server)
      ? await readSigningKey(options, server.request_object_signing_alg_values_supported as string[])
      : undefined,
    dpopAlgorithm: options.dpop ? dpopAlgorithm(server['dpop_signing_alg_values_supported']) : undefined,
  }

  /**
   * From the metadata that were fetched, since a Configuration can't be copied: a copy of one for Microsoft Entra
   * would not accept tokens of all tenants.
   * @param timeout in seconds. Unset: `customFetch` applies its own
   */
  async function configuration(customFetch: oidc.CustomFetch, timeout?: number): Promise<oidc.Configuration> {
    const { issuer, clientId } = options
    const metadata = {
      use_mtls_endpoint_aliases: options.clientCertFile !== undefined,
      [oidc.clockTolerance]: options.clockToleranceMs / 1000,
      ...(options.idTokenAlg !== undefined && { id_token_signed_response_alg: options.idTokenAlg }),
    }
    const configuration = await oidc.discovery(issuer, clientId, metadata, method.authentication, {
      [oidc.customFetch]: async () => answer(),
      ...(isInsecure(options) && { execute: [oidc.allowInsecureRequests] }),
    })
    configuration.timeout = timeout
    configuration[oidc.customFetch] = customFetch
    return configuration
  }
}

/** @returns the metadata, and the response with them, any number of times */
async function fetchMetadata(
  options: IssuerOptions,
  { fetch, publicMetadata }: Transport,
): Promise<{ server: ServerMetadata; answer: () => Response }> {
  let answer = () => new Response()
  const configuration = await oidc
    .discovery(options.issuer, options.clientId, {}, oidc.None(), {
      timeout: options.timeoutMs / 1000,
      async [oidc.customFetch](url, init) {
        const response = await fetch(url, init as RequestInit)
        const { status, headers } = response
        const text = publicMetadata(await response.text())
        const kept = options.issParameter === 'optional' ? withoutIssParameter(text) : text
        answer = () => new Response(kept, { status, headers })
        return answer()
      },
      ...(isInsecure(options) && { execute: [oidc.allowInsecureRequests] }),
    })
    .catch((error: unknown) => {
      throw explainMismatch(error, options.issuer)
    })
  return { server: configuration.serverMetadata(), answer }
}

/** Metadata that don't announce the callback's `iss`, so that it may be missing. */
function withoutIssParameter(text: string): string {
  const metadata = parseAnswer(text)
  return metadata
    ? JSON.stringify({ ...metadata, authorization_response_iss_parameter_supported: undefined })
    : text
}

function isInsecure({ issuer }: IssuerOptions): boolean {
  return issuer.protocol === 'http:'
}

/** The one that grants use. @see https://www.rfc-editor.org/rfc/rfc8705#section-5 */
function tokenEndpoint(server: ServerMetadata, { clientCertFile }: IssuerOptions): string | undefined {
  const alias = clientCertFile === undefined ? undefined : server.mtls_endpoint_aliases?.token_endpoint
  return alias ?? server.token_endpoint
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
