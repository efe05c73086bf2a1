import type { ServerMetadata } from 'openid-client'
import * as oidc from 'openid-client'
import type { ClientAuthenticationName } from '../../config/index.ts'
import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { ClientCredentials } from './client-authentication/method.ts'
import { createDecryption } from './decryption.ts'
import { discover, endpoint, type PkceSupport, pkceSupport } from './discovery.ts'
import { createGrants, type GrantOutcome, grantedTokens } from './grants.ts'
import { checkIdToken } from './id-token.ts'
import { createKeySet } from './issuer-keys.ts'
import { LoginError } from './login-error.ts'
import { type LogoutNotice, LogoutTokenError, verifyLogoutToken } from './logout-token.ts'
import { createMetadataSource } from './metadata-source.ts'
import { openJwt } from './open-jwt.ts'
import { demandsPushing, pushedAuthorizationUrl } from './pushed-authorization.ts'
import { withCheckedIdToken } from './refreshed-id-token.ts'
import type { GrantedTokens } from './token-set.ts'
import type { TokenParameters } from './token-target.ts'
import { createTransport } from './transport.ts'
import { fetchUserInfo } from './user-info.ts'

export interface IssuerOptions extends ClientCredentials {
  issuer: URL
  clientId: string
  /** Unset: the first method that the issuer offers and the credentials allow. */
  clientAuth?: ClientAuthenticationName
  /** The only algorithm for ID tokens and logout tokens. Unset: the asymmetric ones of the metadata. */
  idTokenAlg?: string
  /** JWK, JWKS or PEM: the private key for what the issuer encrypts. */
  decryptionKeyFile?: string
  /** Accepted difference between the issuer's clock and ours. */
  clockToleranceMs: number
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
   * The URL where the browser logs in. Pushes the request if the issuer requires it (RFC 9126).
   * @throws LoginError when the issuer declines the pushed request
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE while its metadata are unknown, or when pushing fails
   */
  authorizationUrl(request: AuthorizationRequest): Promise<URL>
  /**
   * Exchanges the code and checks everything that came with it: `state`, `iss`, PKCE, and the ID token's signature,
   * `iss`, `aud`, `exp`, `nonce` and `auth_time`.
   * @param callbackUrl the redirect URI with the query of the browser's request
   * @throws LoginError when any check fails
   */
  redeemCode(callbackUrl: URL, expected: ExpectedLogin): Promise<Login>
  /**
   * One refresh token grant. Never throws: the caller decides by the failure whether the session ends.
   * @param parameters scope, resource or audience, if they differ from those of the login
   */
  refresh(refreshToken: string, parameters?: TokenParameters): Promise<GrantOutcome>
  /** Exchanges the user's access token for another. Never throws. @see https://www.rfc-editor.org/rfc/rfc8693 */
  exchange(accessToken: string, parameters: TokenParameters): Promise<GrantOutcome>
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
  scope: string
  state: string
  nonce: string
  codeVerifier: string
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
  maxAgeSeconds?: number
}

export interface Login {
  issuer: string
  subject: string
  /** Claims of the ID token, overridden by those of UserInfo. */
  claims: Record<string, unknown>
  tokens: GrantedTokens
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
  /** The configured client authentication is not among those of the metadata; it is used all the same. */
  clientAuthNotOffered(method: string): void
  /**
   * The ID token of a refresh is not valid, so the session ends; or it could not be checked, because the issuer's keys
   * could not be fetched, and is not stored.
   */
  idTokenRefused(outcome: 'invalid' | 'unchecked', error: unknown): void
}

export function createIssuer(options: IssuerOptions, clock: Clock, events: IssuerEvents): Issuer {
  const transport = createTransport(options)
  const decryption = createDecryption(options.decryptionKeyFile)
  const metadata = createMetadataSource(fetchMetadata, clock, events.unreachable)
  const known = () =>
    metadata.get().catch((cause: unknown) => {
      throw new GatewayError('BFF_ISSUER_UNAVAILABLE', { cause })
    })
  // Only the issuer can send ID tokens, so a missing key is fetched at once; anyone can send a logout token that names
  // an unknown key, so there fetches have a cooldown.
  const keysOfAnswers = createKeySet(options, 0, 1, transport.fetch)
  // Thousands of logout tokens may arrive at once and are not sent again, so a fetch that times out is retried.
  const keysOfNotices = createKeySet(options, 1000, 6, transport.fetch)

  async function fetchMetadata() {
    const configurations = await discover(options, { transport, decryption, openUserInfo })
    const { interactive, method } = configurations
    events.metadataLoaded(pkceSupport(interactive.serverMetadata()))
    if (!method.isOffered) events.clientAuthNotOffered(method.name)
    return configurations
  }

  const grants = createGrants(async () => (await metadata.get()).grants, clock)

  return {
    clientId: options.clientId,
    isKnown: () => metadata.known() !== undefined,
    loadMetadata: (signal) => metadata.keepTrying(signal),

    async authorizationUrl({ redirectUri, scope, state, nonce, codeVerifier, parameters }) {
      const { interactive } = await known()
      const all = new URLSearchParams(parameters)
      all.set('redirect_uri', redirectUri.href)
      all.set('scope', scope)
      all.set('state', state)
      all.set('nonce', nonce)
      all.set('code_challenge', await oidc.calculatePKCECodeChallenge(codeVerifier))
      all.set('code_challenge_method', 'S256')
      if (demandsPushing(interactive)) return pushedAuthorizationUrl(interactive, all, clock.now())
      return oidc.buildAuthorizationUrl(interactive, all)
    },

    async redeemCode(callbackUrl, { state, nonce, codeVerifier, maxAgeSeconds }) {
      try {
        const { interactive, redeeming } = await metadata.get()
        const answer = await oidc.authorizationCodeGrant(redeeming, callbackUrl, {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: codeVerifier,
          ...(maxAgeSeconds !== undefined && { maxAge: maxAgeSeconds }),
        })
        const idToken = answer.claims()
        if (!answer.id_token || !idToken?.sub)
          throw new TypeError('The issuer sent no ID token, or one without a subject')
        await checkIdToken(answer.id_token, answer.access_token, keysOfAnswers(redeeming.serverMetadata()))
        const userInfo = options.userinfo
          ? await fetchUserInfo(interactive, answer.access_token, idToken.sub, events.userInfoFailed)
          : {}
        return {
          issuer: idToken.iss,
          subject: idToken.sub,
          // The issuer's session is identified only by the signed token's `sid`, never by UserInfo.
          claims: { ...idToken, ...userInfo, sid: idToken['sid'] },
          tokens: grantedTokens(answer, answer.id_token),
        }
      } catch (error) {
        throw new LoginError(error)
      }
    },

    ...grants,

    async refresh(refreshToken, parameters) {
      const result = await grants.refresh(refreshToken, parameters)
      if (result.outcome !== 'granted') return result
      const { tokens } = result
      return {
        ...result,
        tokens: await withCheckedIdToken(tokens, openIdToken, clock, events.idTokenRefused),
      }
    },

    tokenEndpoint: () => metadata.known()?.interactive.serverMetadata().token_endpoint,

    async revoke(token, type = 'refresh_token') {
      const { interactive } = await metadata.get()
      if (interactive.serverMetadata().revocation_endpoint === undefined) return
      await oidc.tokenRevocation(interactive, token, { token_type_hint: type })
    },

    offersRevocation: () => metadata.known()?.interactive.serverMetadata().revocation_endpoint !== undefined,

    endSessionUrl({ idToken, postLogoutRedirectUri, state }) {
      const interactive = metadata.known()?.interactive
      // An endpoint that is no URL is ignored: the session here has already ended.
      const named = interactive?.serverMetadata().end_session_endpoint
      if (!interactive || !endpoint(named, options.issuer)) return undefined
      return oidc.buildEndSessionUrl(interactive, {
        post_logout_redirect_uri: postLogoutRedirectUri.href,
        state,
        ...(idToken !== undefined && { id_token_hint: idToken }),
      })
    },

    identifier: async () => (await known()).interactive.serverMetadata().issuer,

    async verifyLogoutToken(token) {
      const server = (await known()).interactive.serverMetadata()
      return verifyLogoutToken(await decryptNotice(token), {
        issuer: server.issuer,
        clientId: options.clientId,
        ...keysOfNotices(server),
        now: clock.now(),
        clockToleranceMs: options.clockToleranceMs,
      })
    },
  }

  /** Of a refresh. @returns it decrypted */
  async function openIdToken(idToken: string, accessToken: string): Promise<string> {
    const [server, decrypted] = [
      (await metadata.get()).grants.serverMetadata(),
      await decryption.decrypt(idToken),
    ]
    await checkIdToken(decrypted, accessToken, keysOfAnswers(server))
    return decrypted
  }

  function openUserInfo(jwt: string, server: ServerMetadata): Promise<string> {
    const keys = keysOfAnswers(server, server.userinfo_signing_alg_values_supported)
    return openJwt(jwt, decryption, { ...keys, issuer: server.issuer, clientId: options.clientId })
  }

  async function decryptNotice(token: string): Promise<string> {
    return decryption.decrypt(token).catch((cause: unknown) => {
      throw new LogoutTokenError('The logout token can not be decrypted', { cause })
    })
  }
}
