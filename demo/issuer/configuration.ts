import { randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import type { ClientMetadata, Configuration, KoaContextWithOIDC } from 'oidc-provider'
import { createMemoryAdapter } from './memory-adapter.ts'
import { errorPage, type Page, signedOutPage, signOutPage } from './pages.ts'
import { userClaims } from './users.ts'

export interface ConfigurationOptions {
  clients: ReadonlyMap<string, ClientMetadata>
  /** Undefined: opaque access tokens, for UserInfo only. */
  apiAudience: string | undefined
  /** Scopes of that API. */
  apiScope: string
  /** Seconds. */
  accessTokenLifetime: number
  requirePushedAuthorizationRequests: boolean
  /** Sends a page with its security headers. */
  show: (ctx: KoaContextWithOIDC, page: Page) => void
}

const day = 24 * 60 * 60

/** An issuer that is strict where a gateway can go wrong, and asks users only for name and password. */
export async function providerConfiguration(options: ConfigurationOptions): Promise<Configuration> {
  const { clients, apiAudience, apiScope, accessTokenLifetime, requirePushedAuthorizationRequests, show } =
    options
  return {
    adapter: createMemoryAdapter(clients),
    jwks: { keys: [await signingKey()] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clientBasedCORS: () => false,
    scopes: ['openid', 'offline_access'],
    claims: {
      openid: ['sub'],
      profile: ['name', 'given_name', 'family_name', 'preferred_username'],
      email: ['email', 'email_verified'],
    },
    // The access token is for the API, so UserInfo would refuse it: the claims are in the ID token.
    conformIdTokenClaims: false,
    findAccount: (_ctx, sub) => {
      const claims = userClaims(sub)
      return claims && { accountId: sub, claims: async () => claims }
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: async () => false,
    loadExistingGrant: (ctx) => newGrant(ctx, apiAudience, apiScope),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    renderError: async (ctx, out) => show(ctx, errorPage(out.error, out.error_description)),
    ttl: {
      AccessToken: accessTokenLifetime,
      ClientCredentials: accessTokenLifetime,
      AuthorizationCode: 60,
      IdToken: 60 * 60,
      Interaction: 60 * 60,
      RefreshToken: 14 * day,
      Grant: 14 * day,
      Session: 14 * day,
    },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests },
      revocation: {
        enabled: true,
        allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: async (ctx, form) => show(ctx, signOutPage(form)),
        postLogoutSuccessSource: async (ctx) => show(ctx, signedOutPage()),
      },
      resourceIndicators: {
        enabled: apiAudience !== undefined,
        defaultResource: async () => apiAudience ?? [],
        useGrantedResource: async () => true,
        getResourceServerInfo: async (_ctx, resource) => ({
          scope: apiScope,
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: accessTokenLifetime,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    // The provider's guard against internal addresses would block logout tokens to a gateway on loopback.
    fetch: (url, { dispatcher: _guard, ...init } = {}) => fetch(url, init),
  }
}

/** A separate grant for every login, so that reuse of one session's refresh token does not affect the others. */
async function newGrant(ctx: KoaContextWithOIDC, apiAudience: string | undefined, apiScope: string) {
  const { client, session, provider, params } = ctx.oidc
  if (!client || !session?.accountId) return undefined
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  grant.addOIDCScope('openid profile email offline_access')
  // The API by default, and any other that the gateway names: every user may use all of them.
  const wanted = [params?.['resource'] ?? apiAudience ?? []].flat()
  for (const resource of wanted) grant.addResourceScope(String(resource), apiScope)
  await grant.save()
  return grant
}

async function signingKey() {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  return { ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: randomBytes(6).toString('hex') }
}
