import type { ServerMetadata } from 'openid-client'
import * as oidc from 'openid-client'
import type { Clock } from '../../lib/clock.ts'
import { noTracing } from '../../lib/tracing.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { authorizationUrl, defaultScope, loginPrompt } from './authorization-request.ts'
import { authorizationResponse, sessionStateOf, stateOf } from './authorization-response.ts'
import { createDecryption } from './decryption.ts'
import { discover, pkceSupport } from './discovery.ts'
import { compactKey, expandKey } from './dpop/compact-key.ts'
import { proofOptions } from './dpop/issuer-proofs.ts'
import { createDpopKey } from './dpop/key.ts'
import { createNonces, keepNonces } from './dpop/nonces.ts'
import { endSessionUrl } from './end-session-url.ts'
import { createGrants, grantedTokens } from './grants.ts'
import { checkIdToken, type IdTokenChecks, withCheckedIdToken } from './id-token.ts'
import { type Issuer, type IssuerEvents, type IssuerOptions, LoginError } from './issuer.ts'
import { createKeySet } from './issuer-keys.ts'
import { LogoutTokenError, verifyLogoutToken } from './logout-token.ts'
import { createMetadataSource } from './metadata-source.ts'
import { createTransport } from './transport.ts'
import { fetchUserInfo } from './user-info.ts'
import { verifiedClaims } from './verify-jwt.ts'

export function createIssuer(
  options: IssuerOptions,
  clock: Clock,
  events: IssuerEvents,
  tracing = noTracing,
): Issuer {
  const nonces = createNonces()
  const connection = createTransport(options, tracing)
  const transport = { ...connection, fetch: keepNonces(connection.fetch, nonces) }
  const decryption = createDecryption(options.decryptionKeyFile)
  const metadata = createMetadataSource(fetchMetadata, clock, events.unreachable)
  const known = () =>
    metadata.get().catch((cause: unknown) => {
      throw new GatewayError('BFF_ISSUER_UNAVAILABLE', { cause })
    })
  // Only the issuer can send ID tokens, so a missing key is fetched at once. Anyone can send an authorization response or
  // a logout token that names an unknown key, so there fetches have a cooldown.
  const keysOfAnswers = createKeySet(options, 0, 1, transport.fetch)
  const keysOfResponses = createKeySet(options, 1000, 1, transport.fetch)
  // Thousands of logout tokens may arrive at once and are not sent again, so a fetch that times out is retried.
  const keysOfNotices = createKeySet(options, 1000, 6, transport.fetch)

  async function fetchMetadata() {
    const configurations = await discover(options, { transport, decryption, verifyUserInfo })
    const { interactive, method } = configurations
    const server = interactive.serverMetadata()
    events.metadataLoaded(pkceSupport(server))
    if (!method.isOffered) events.clientAuthNotOffered(method.name)
    if (options.dpop && server['dpop_signing_alg_values_supported'] === undefined) events.dpopNotOffered()
    return configurations
  }

  const idTokenChecks: IdTokenChecks = {
    decrypt: decryption.decrypt,
    async check(idToken, accessToken) {
      await checkIdToken(idToken, accessToken, keysOfAnswers((await metadata.get()).grants.serverMetadata()))
    },
  }

  async function newKey() {
    const { dpopAlgorithm } = await metadata.get()
    return dpopAlgorithm && createDpopKey(dpopAlgorithm)
  }

  const grants = createGrants({
    configuration: async () => (await metadata.get()).grants,
    clock,
    // Even a late answer is needed, because the refresh token is already spent.
    timeoutMs: 2.5 * options.timeoutMs,
    newKey,
    nonces,
  })

  return {
    clientId: options.clientId,
    isKnown: () => metadata.known() !== undefined,
    loadMetadata: (signal) => metadata.keepTrying(signal),

    async newLoginKey() {
      await known()
      const key = await newKey()
      return key && compactKey(key)
    },

    async authorizationUrl(request) {
      const { interactive, requestKey } = await known()
      const scope = scopeAt(interactive.serverMetadata())
      return authorizationUrl({ ...request, scope }, options, {
        configuration: interactive,
        requestKey,
        nonces,
        now: clock.now(),
      })
    },

    stateOf: (parameters) => stateOf(parameters, options, decryption),

    async redeemCode(callbackUrl, { state, nonce, codeVerifier, loginKey, maxAgeSeconds }) {
      try {
        const { interactive, redeeming } = await metadata.get()
        const server = redeeming.serverMetadata()
        const response = await readResponse(callbackUrl, server)
        const checks = {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: codeVerifier,
          ...(maxAgeSeconds !== undefined && { maxAge: maxAgeSeconds }),
        }
        const key = loginKey === undefined ? await newKey() : expandKey(loginKey)
        const proofs = await proofOptions(redeeming, key, nonces)
        const answer = await oidc.authorizationCodeGrant(redeeming, response, checks, {}, proofs)
        const tokens = await grantedTokens(answer, answer.id_token, key)
        const idToken = answer.claims()
        if (!answer.id_token || !idToken?.sub)
          throw new TypeError('The issuer sent no ID token, or one without a subject')
        await checkIdToken(answer.id_token, answer.access_token, keysOfAnswers(server))
        const userInfo = options.userinfo
          ? await fetchUserInfo(interactive, answer.access_token, idToken.sub, proofs, events.userInfoFailed)
          : {}
        return {
          issuer: idToken.iss,
          subject: idToken.sub,
          // The issuer's session is identified only by the signed token's `sid`, never by UserInfo.
          claims: { ...idToken, ...userInfo, sid: idToken['sid'] },
          // An omitted scope is the requested one (RFC 6749 section 5.1).
          tokens: { scope: scopeAt(server), ...tokens },
          ...sessionStateOf(response),
        }
      } catch (error) {
        throw new LoginError(error)
      }
    },

    ...grants,

    async refresh(refreshToken, parameters, key) {
      const result = await grants.refresh(refreshToken, parameters, key)
      if (result.outcome !== 'granted') return result
      const { tokens } = result
      return {
        ...result,
        tokens: await withCheckedIdToken(tokens, idTokenChecks, clock, events.idTokenRefused),
      }
    },

    tokenEndpoint: () => metadata.known()?.interactive.serverMetadata().token_endpoint,

    async revoke(token, type = 'refresh_token') {
      const { interactive } = await metadata.get()
      if (interactive.serverMetadata().revocation_endpoint === undefined) return
      await oidc.tokenRevocation(interactive, token, { token_type_hint: type })
    },

    offersRevocation: () => metadata.known()?.interactive.serverMetadata().revocation_endpoint !== undefined,

    endSessionUrl: (request) => endSessionUrl(request, options, metadata.known()?.interactive),

    loginPrompt: () => loginPrompt(options.issuer, metadata.known()?.interactive),

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

  function scopeAt(server: ServerMetadata): string {
    return options.scope ?? defaultScope(server)
  }

  function verifyUserInfo(jwt: string, server: ServerMetadata): Promise<string> {
    const keys = keysOfAnswers(server, server.userinfo_signing_alg_values_supported)
    return verifiedClaims(jwt, decryption, { ...keys, issuer: server.issuer, clientId: options.clientId })
  }

  function readResponse(callbackUrl: URL, server: ServerMetadata): Promise<URL> {
    return authorizationResponse(callbackUrl, options, {
      server,
      decryption,
      keys: keysOfResponses(server, server.authorization_signing_alg_values_supported),
      now: clock.now(),
    })
  }

  async function decryptNotice(token: string): Promise<string> {
    return decryption.decrypt(token).catch((cause: unknown) => {
      throw new LogoutTokenError('The logout token can not be decrypted', { cause })
    })
  }
}
