import * as oidc from 'openid-client'
import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { ClientCredentials } from './client-authentication.ts'
import { discover, endpoint, type PkceSupport, pkceSupport } from './discovery.ts'
import { createGrants, type GrantOutcome, grantedTokens } from './grants.ts'
import { checkSignature, createKeySet } from './issuer-keys.ts'
import { LoginError } from './login-error.ts'
import { type LogoutNotice, verifyLogoutToken } from './logout-token.ts'
import { createMetadataSource } from './metadata-source.ts'
import { demandsPushing, pushedAuthorizationUrl } from './pushed-authorization.ts'
import type { GrantedTokens } from './token-set.ts'
import type { TokenParameters } from './token-target.ts'
import { fetchUserInfo } from './user-info.ts'

export interface IssuerOptions extends ClientCredentials {
  issuer: URL
  clientId: string
  /** How long a request waits for the issuer, in milliseconds. */
  /** Whether UserInfo is asked at login. */
  userinfo: boolean
  timeoutMs: number
}

/** The OpenID provider as the rest of the gateway sees it. Only this folder speaks the protocol. */
export interface Issuer {
  readonly clientId: string
  /** Whether its metadata were ever learned. */
  isKnown(): boolean
  /** Learns its metadata, trying until it answers or `signal` aborts. */
  learn(signal: AbortSignal): Promise<void>
  /**
   * Where the browser logs in. Pushes the request to an issuer that demands it.
   * @throws LoginError when the issuer declines what was pushed
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE while its metadata are unknown, or when it can't be pushed to
   */
  authorizationUrl(request: AuthorizationRequest): Promise<URL>
  /**
   * Exchanges the code and checks all that came with it: `state`, `iss`, PKCE, and the ID token's signature,
   * `iss`, `aud`, `exp`, `nonce` and `auth_time`.
   * @param callbackUrl the redirect URI with the parameters that the browser brought
   * @throws LoginError when anything is wrong
   */
  redeemCode(callbackUrl: URL, expected: ExpectedLogin): Promise<Login>
  /**
   * One refresh token grant. Never throws: what went wrong decides what becomes of the session.
   * @param parameters what the access token is to be for, if not for what was agreed at login
   */
  refresh(refreshToken: string, parameters?: TokenParameters): Promise<GrantOutcome>
  /** Another access token for the user's. Never throws. @see https://www.rfc-editor.org/rfc/rfc8693 */
  exchange(accessToken: string, parameters: TokenParameters): Promise<GrantOutcome>
  /** An access token of the gateway's own. Never throws. @see https://www.rfc-editor.org/rfc/rfc6749#section-4.4 */
  clientCredentials(parameters: TokenParameters): Promise<GrantOutcome>
  /** Undefined while its metadata are unknown. */
  tokenEndpoint(): string | undefined
  /** Revokes a token where the issuer offers it, by default a refresh token. @see https://www.rfc-editor.org/rfc/rfc7009 */
  revoke(token: string, type?: RevocableType): Promise<void>
  /** Whether it is known to have a revocation endpoint. */
  offersRevocation(): boolean
  /**
   * Where the browser logs out, or nothing when the issuer has no such endpoint or was never reached. `state` comes
   * back with the browser, at `postLogoutRedirectUri`.
   * @see https://openid.net/specs/openid-connect-rpinitiated-1_0.html
   */
  endSessionUrl(request: EndSessionRequest): URL | undefined
  /** As it names itself in `iss`. @throws GatewayError BFF_ISSUER_UNAVAILABLE while its metadata are unknown */
  identifier(): Promise<string>
  /**
   * Checks a logout token, all but whether it has been used before.
   * @throws LogoutTokenError when it must not be heeded
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE when the issuer's keys can't be had
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
  /** Of the session, so that the issuer knows which of its own to end, and need not ask. */
  idToken?: string
  /** Registered at the issuer, which compares it to the letter. */
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
  /** Of the ID token, with those of UserInfo over them. */
  claims: Record<string, unknown>
  tokens: GrantedTokens
}

/** As a `token_type_hint` says it. */
export type RevocableType = 'refresh_token' | 'access_token'

/** What is worth a line in the log. */
export interface IssuerEvents {
  unreachable(error: unknown, retryInMs: number): void
  /** A login goes on without UserInfo. */
  userInfoFailed(error: unknown): void
  /** Its metadata were fetched, as they are now and then. */
  learned(pkce: PkceSupport): void
}

export function createIssuer(options: IssuerOptions, clock: Clock, events: IssuerEvents): Issuer {
  const metadata = createMetadataSource(fetchMetadata, clock, events.unreachable)
  const known = () =>
    metadata.get().catch((cause: unknown) => {
      throw new GatewayError('BFF_ISSUER_UNAVAILABLE', { cause })
    })
  // What the issuer has just answered names no key that isn't there, and what anybody may send often does.
  const keysOfAnswers = createKeySet(options, 0)
  // Thousands of notices may come at once and keep this process busy, and are not sent again.
  const keysOfNotices = createKeySet(options, 1000, 6)

  async function fetchMetadata() {
    const configurations = await discover(options)
    events.learned(pkceSupport(configurations.interactive.serverMetadata()))
    return configurations
  }

  return {
    clientId: options.clientId,
    isKnown: () => metadata.known() !== undefined,
    learn: (signal) => metadata.keepTrying(signal),

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
          throw new TypeError('The issuer sent no ID token, or one about nobody')
        await checkSignature(answer.id_token, keysOfAnswers(redeeming.serverMetadata()))
        const userInfo = options.userinfo
          ? await fetchUserInfo(interactive, answer.access_token, idToken.sub, events.userInfoFailed)
          : {}
        return {
          issuer: idToken.iss,
          subject: idToken.sub,
          // Which of the issuer's sessions it is, the signed token alone says.
          claims: { ...idToken, ...userInfo, sid: idToken['sid'] },
          tokens: grantedTokens(answer, answer.id_token),
        }
      } catch (error) {
        throw new LoginError(error)
      }
    },

    ...createGrants(async () => (await metadata.get()).patient, clock),

    tokenEndpoint: () => metadata.known()?.interactive.serverMetadata().token_endpoint,

    async revoke(token, type = 'refresh_token') {
      const { interactive } = await metadata.get()
      if (interactive.serverMetadata().revocation_endpoint === undefined) return
      await oidc.tokenRevocation(interactive, token, { token_type_hint: type })
    },

    offersRevocation: () => metadata.known()?.interactive.serverMetadata().revocation_endpoint !== undefined,

    endSessionUrl({ idToken, postLogoutRedirectUri, state }) {
      const interactive = metadata.known()?.interactive
      // One that is no URL is as good as none: the session here has ended by now.
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
      return verifyLogoutToken(token, {
        issuer: server.issuer,
        clientId: options.clientId,
        ...keysOfNotices(server),
        now: clock.now(),
      })
    },
  }
}
