import { AuthorizationResponseError } from 'openid-client'
import type { ClientAuthenticationName, ResponseMode } from '../../config/index.ts'
import type { ClientCredentials } from './client-authentication/method.ts'
import type { PkceSupport } from './discovery.ts'
import type { DpopKey } from './dpop/key.ts'
import { descriptionOf, failureReason, isRefusedCode } from './grant-failure.ts'
import type { GrantOutcome } from './grants.ts'
import type { LogoutNotice } from './logout-token.ts'
import type { GrantedTokens, TokenParameters } from './token-set.ts'

export interface IssuerOptions extends ClientCredentials {
  issuer: URL
  /** The issuer's address for requests of the gateway. Unset: that of `issuer`. */
  internalUrl?: URL
  clientId: string
  /** Unset: the first method that the issuer offers and the credentials allow. */
  clientAuth?: ClientAuthenticationName
  /** The only algorithm for ID tokens and logout tokens. Unset: the asymmetric ones of the metadata. */
  idTokenAlg?: string
  /** JWK, JWKS or PEM: the private key for what the issuer encrypts. */
  decryptionKeyFile?: string
  /** Accepted difference between the issuer's clock and ours. */
  clockToleranceMs: number
  /** Tokens are bound to a key of their session. @see https://www.rfc-editor.org/rfc/rfc9449 */
  dpop: boolean
  /** Pushed authorization requests; `auto`: where the metadata demand them. */
  par: 'auto' | 'always' | 'never'
  /** Signed authorization requests; `auto`: where the metadata demand them. */
  requestObject: 'auto' | 'always' | 'never'
  /** How the authorization response comes: in the URL or a form, and with `jwt` signed. */
  responseMode: ResponseMode
  /** Space-separated. Unset: see `defaultScope`. */
  scope?: string
  /** Where the browser logs out, instead of the metadata's endpoint: a template with `{client_id}` and `{return_url}`. */
  logoutUrl?: string
  /** `optional`: the callback's `iss` may be missing although the metadata announce it. */
  issParameter: 'auto' | 'optional'
  /** Whether UserInfo is asked at login. */
  userinfo: boolean
  /** How long a request waits for the issuer, in milliseconds. */
  timeoutMs: number
}

/** The OpenID provider as the rest of the gateway sees it. Only this folder speaks OAuth and OpenID Connect to it. */
export interface Issuer {
  readonly clientId: string
  /** Whether its metadata have been fetched at least once. */
  isKnown(): boolean
  /** Fetches its metadata, retrying until it succeeds or `signal` aborts. */
  loadMetadata(signal: AbortSignal): Promise<void>
  /**
   * A new key for the tokens of a login, as short as can be; undefined if they are to be bearer tokens.
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE while its metadata are unknown
   */
  newLoginKey(): Promise<string | undefined>
  /**
   * The URL where the browser logs in. Pushes the request if the issuer requires it (RFC 9126).
   * @throws LoginError when the issuer declines the pushed request
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE while its metadata are unknown, or when pushing fails
   */
  authorizationUrl(request: AuthorizationRequest): Promise<URL>
  /**
   * The `state` of an authorization response, not verified; undefined if it has none.
   * @param parameters of the browser's request
   */
  stateOf(parameters: URLSearchParams): Promise<string | undefined>
  /**
   * Exchanges the code and checks everything that came with it: `state`, `iss`, PKCE, and the ID token's signature,
   * `iss`, `aud`, `exp`, `nonce` and `auth_time`.
   * @param callbackUrl the redirect URI with the parameters of the browser's request as query
   * @throws LoginError when any check fails
   */
  redeemCode(callbackUrl: URL, expected: ExpectedLogin): Promise<Login>
  /**
   * One refresh token grant. Never throws: the caller decides by the failure whether the session ends.
   * @param parameters scope, resource or audience, if they differ from those of the login
   * @param key that the refresh token is bound to. Unset: the new tokens get a key if they are to be bound
   */
  refresh(refreshToken: string, parameters?: TokenParameters, key?: DpopKey): Promise<GrantOutcome>
  /** Exchanges the user's access token for another. Never throws. @see https://www.rfc-editor.org/rfc/rfc8693 */
  exchange(accessToken: string, parameters: TokenParameters, key?: DpopKey): Promise<GrantOutcome>
  /**
   * A client credentials grant: a token of the gateway's own. Never throws.
   * @see https://www.rfc-editor.org/rfc/rfc6749#section-4.4
   */
  clientCredentials(parameters: TokenParameters): Promise<GrantOutcome>
  /** Undefined while its metadata are unknown. */
  tokenEndpoint(): string | undefined
  /**
   * Revokes a token, by default a refresh token, if the issuer has a revocation endpoint.
   * @see https://www.rfc-editor.org/rfc/rfc7009
   */
  revoke(token: string, type?: RevocableType): Promise<void>
  /** Whether it is known to have a revocation endpoint. */
  offersRevocation(): boolean
  /**
   * The URL where the browser logs out, or undefined if the issuer has no such endpoint or was never reached. The
   * issuer returns `state` to `postLogoutRedirectUri`.
   * @see https://openid.net/specs/openid-connect-rpinitiated-1_0.html
   */
  endSessionUrl(request: EndSessionRequest): URL | undefined
  /** The `prompt` that makes the issuer ask a user to sign in again. */
  loginPrompt(): 'login' | 'select_account'
  /** The issuer's `iss`. @throws GatewayError BFF_ISSUER_UNAVAILABLE while its metadata are unknown */
  identifier(): Promise<string>
  /**
   * Verifies a logout token, except whether it was used before.
   * @throws LogoutTokenError when it is not valid
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE when the issuer's keys can't be fetched
   */
  verifyLogoutToken(token: string): Promise<LogoutNotice>
}

export interface AuthorizationRequest {
  redirectUri: URL
  state: string
  nonce: string
  codeVerifier: string
  /** Of `newLoginKey`. The code is bound to it. */
  loginKey?: string
  /** Further parameters; those above cannot be overridden. */
  parameters: URLSearchParams
}

export interface EndSessionRequest {
  /** Sent as `id_token_hint`: tells the issuer which session to end, without asking the user. */
  idToken?: string
  /** Must match exactly one that is registered at the issuer. */
  postLogoutRedirectUri: URL
  state: string
}

export interface ExpectedLogin {
  state: string
  nonce: string
  codeVerifier: string
  /** Unset: the login was begun by a gateway that binds no tokens. */
  loginKey?: string
  maxAgeSeconds?: number
}

export interface Login {
  issuer: string
  subject: string
  /** Claims of the ID token, overridden by those of UserInfo. */
  claims: Record<string, unknown>
  tokens: GrantedTokens
  /** The response's `session_state`. @see https://openid.net/specs/openid-connect-session-1_0.html */
  sessionState?: string
}

/** Values of `token_type_hint`. */
export type RevocableType = 'refresh_token' | 'access_token'

/** Events that are logged. */
export interface IssuerEvents {
  unreachable(error: unknown, retryInMs: number): void
  /** UserInfo could not be fetched; the login continues without it. */
  userInfoFailed(error: unknown): void
  /** Its metadata were fetched (also on each refresh). */
  metadataLoaded(pkce: PkceSupport): void
  /** The metadata don't say that the issuer supports DPoP; it is used all the same. */
  dpopNotOffered(): void
  /** The configured client authentication is not among those of the metadata; it is used all the same. */
  clientAuthNotOffered(method: string): void
  /**
   * The ID token of a refresh is not valid, so the session ends; or it could not be checked, because the issuer's keys
   * could not be fetched, and is not stored: then only its user, issuer and audience are compared.
   */
  idTokenRefused(outcome: 'invalid' | 'unchecked', error: unknown): void
}

/** The login failed a check, or the issuer refused it. */
export class LoginError extends Error {
  /** The `error` of the authorization response, if it had one. */
  readonly oauthError: string | undefined
  /** A short word for the log. */
  readonly reason: string
  /** The issuer's `error_description`, for the log, with anything that could be a token removed. */
  readonly errorDescription: string | undefined
  /** Whether the issuer refused the code, for example because it never issued it. */
  readonly isRefusal: boolean

  constructor(cause: unknown) {
    super('The login could not be completed', { cause })
    this.reason = failureReason(cause)
    this.errorDescription = descriptionOf(cause)
    this.isRefusal = isRefusedCode(cause)
    this.oauthError = cause instanceof AuthorizationResponseError ? cause.error : undefined
  }
}
