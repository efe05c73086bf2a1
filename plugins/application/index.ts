import type { FastifyReply, FastifyRequest, onSendHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { UpstreamOptions } from '../../config/index.ts'
import type { ErrorPageOptions } from '../errors/error-page.ts'
import { asGatewayError } from '../errors/gateway-error.ts'
import { answerError } from '../errors/index.ts'
import { type RequestCheckOptions, requestChecks } from '../guard/checks.ts'
import type { Issuer } from '../issuer/issuer.ts'
import { tokenTarget } from '../issuer/token-set.ts'
import { type SessionInfo, sessionInfo } from '../session/claims.ts'
import type { SessionHooks } from '../session/events/session-events.ts'
import { StoreUnavailableError } from '../session-store/store.ts'
import {
  bareToken,
  keepNonce,
  type SentToken,
  type TokenHeaders,
  tokenHeaders,
} from '../tokens/token-headers.ts'
import type { WantedToken } from '../tokens/user-tokens.ts'
import { type AuthorizedInit, createAuthorizedFetch } from './authorized-fetch.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The gateway's API for an application's own routes. */
    bff: Bff
  }
  interface FastifyRequest {
    /**
     * The user's session, after `app.bff.requireSession` or `app.bff.loadSession`; null if there is none. Contains no
     * token.
     */
    readonly session: SessionInfo | null
    /**
     * A usable access token of the request's user, renewed if needed. For calls to remote APIs only: it must never
     * reach a browser.
     *
     * @throws GatewayError 401 `BFF_SESSION_REQUIRED` without a session, 401 `BFF_SESSION_ENDED` when the issuer
     *   refuses to renew, 503 `BFF_ISSUER_UNAVAILABLE` or `BFF_STORE_UNAVAILABLE`, each with a `statusCode`, so that
     *   Fastify sends the right status if it is not caught
     * @throws TypeError when tokens are bound to keys (`oidc.dpop`): use `tokenHeaders`
     */
    accessToken(options?: AccessTokenOptions): Promise<string>
    /**
     * The headers that carry such a token in one request of the application's own, whatever kind of token it is:
     * `authorization`, and with `oidc.dpop` a proof in `dpop`, which is valid for this request only. Make new ones
     * for each request, and also for a repetition.
     *
     * @throws GatewayError as `accessToken` does
     * @see https://www.rfc-editor.org/rfc/rfc9449
     */
    tokenHeaders(request: TokenRequest): Promise<TokenHeaders>
  }
}

export interface AccessTokenOptions {
  /** The API that the token is for: an absolute URI (RFC 8707). Default: the session's own token. */
  resource?: string
  /**
   * Set after an API has refused the last token: renews it although it has not expired, unless it was renewed
   * meanwhile. At most once per session, resource and `refreshBeforeExpiration`; otherwise returns the same token.
   * Default false.
   */
  forceRenewal?: boolean
}

/** The request that `tokenHeaders` is for. */
export interface TokenRequest extends AccessTokenOptions {
  /** Default `GET`. */
  method?: string
  /** Absolute. */
  url: string | URL
  /**
   * The `DPoP-Nonce` header of the API's last answer. The gateway remembers it for the API's origin. After a 401 with
   * `error="use_dpop_nonce"` the request can be sent once more, with new headers.
   */
  dpopNonce?: string | null
}

/** Hooks of the application. They receive neither tokens nor cookies. */
export type BffHooks = SessionHooks<FastifyRequest>

export interface Bff {
  /** The login URL as the browser sees it. `?returnUrl=/path` sets where to go afterwards. */
  readonly loginUrl: string
  /** An onRequest hook for signed-in users only. @throws GatewayError 401 `BFF_SESSION_REQUIRED` */
  requireSession(request: FastifyRequest): Promise<void>
  /** An onRequest hook for public routes: sets `request.session` to the session or null. */
  loadSession(request: FastifyRequest): Promise<void>
  /**
   * An onRequest hook for routes that the frontend's scripts call: requires the CSRF header and rejects requests from
   * other sites. Required for every route that changes something with the session. @throws GatewayError 403
   * `BFF_CSRF_REJECTED`
   */
  guard(request: FastifyRequest): Promise<void>
  /** The same as `request.accessToken(options)`. */
  accessToken(request: FastifyRequest, options?: AccessTokenOptions): Promise<string>
  /** The same as `request.tokenHeaders(target)`. */
  tokenHeaders(request: FastifyRequest, target: TokenRequest): Promise<TokenHeaders>
  /**
   * `fetch` with the token of the request's user; repeated once with a newer token if the API refuses it,
   * and once with the API's nonce if it wants one in proofs (DPoP).
   *
   * @param url below the target of an upstream with `token: 'user'`, or a path below its prefix, as the frontend
   *   calls it. Other URLs throw a TypeError and redirects are not followed, so that the token goes nowhere else
   * @throws GatewayError as `request.accessToken` does, 502 `BFF_UPSTREAM_UNREACHABLE` and 504 `BFF_UPSTREAM_TIMEOUT`
   */
  fetch(request: FastifyRequest, url: string | URL, init?: AuthorizedInit): Promise<Response>
  /** For `setErrorHandler` of a scope whose errors should look like the gateway's own. */
  errorHandler(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply
  /** Required services that are unavailable, for the application's readiness probe. Empty: ready. */
  missing(): Promise<string[]>
}

export interface LocalRoutesOptions extends RequestCheckOptions, ErrorPageOptions {
  upstreams: UpstreamOptions[]
}

/** An onSend hook: `no-store` for responses to signed-in users, unless the route sets `Cache-Control` itself. */
export const keepFromCaches: onSendHookHandler = ({ userSession }, reply, payload, done) => {
  if (userSession && !reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  done(null, payload)
}

/** Request decorators for the application. Registered first, so that all scopes inherit them. */
export const requestMembers = fp(
  async (app) => {
    app.decorateRequest('userSession', null)
    app.decorateRequest('session', {
      getter(this: FastifyRequest) {
        return this.userSession && sessionInfo(this.userSession)
      },
    })
    app.decorateRequest('accessToken', function (this: FastifyRequest, options) {
      return this.server.bff.accessToken(this, options)
    })
    app.decorateRequest('tokenHeaders', function (this: FastifyRequest, target) {
      return this.server.bff.tokenHeaders(this, target)
    })
  },
  { name: 'request-members', fastify: '5.x' },
)

export default fp<LocalRoutesOptions>(
  async (app, { loginUrl, upstreams, ...guardOptions }) => {
    const checks = requestChecks(guardOptions)
    const upstreamCalls = createAuthorizedFetch(upstreams)
    app.addHook('onClose', () => upstreamCalls.close())

    const bff: Bff = {
      loginUrl,
      loadSession: (request) => app.loadSession(request).catch(throwCatalogued),
      requireSession: (request) => app.requireSession(request).catch(throwCatalogued),
      async guard({ raw }) {
        checks.origin(raw)
        checks.header(raw)
      },
      accessToken: async (request, options = {}) => bareToken(await ownToken(request, options)),
      async tokenHeaders(request, { method = 'GET', url, dpopNonce, ...options }) {
        const { href, origin } = new URL(url)
        const token = await ownToken(request, options)
        keepNonce(token, origin, dpopNonce ?? undefined)
        return tokenHeaders(token, { method, url: href, server: origin })
      },
      fetch: (request, url, init = {}) =>
        upstreamCalls.fetch(url, init, (wanted) => tokenFor(request, wanted)),
      errorHandler: answerError({ ...guardOptions, loginUrl }),
      missing: () => missingParts(app),
    }
    app.decorate('bff', bff)

    function ownToken(request: FastifyRequest, { resource, forceRenewal }: AccessTokenOptions) {
      const target = resource === undefined ? undefined : tokenTarget({ resource })
      return tokenFor(request, { target, forceRenewal })
    }

    async function tokenFor(request: FastifyRequest, wanted: WantedToken): Promise<SentToken> {
      await bff.loadSession(request)
      return app.tokenFor(request, wanted).catch(throwCatalogued)
    }
  },
  {
    name: 'local-routes',
    fastify: '5.x',
    dependencies: ['request-members', 'oidc-session', 'tokens'],
  },
)

/** Converts store errors: an application's error handler only knows `statusCode`. */
function throwCatalogued(error: unknown): never {
  throw error instanceof StoreUnavailableError ? asGatewayError(error) : error
}

/** Required services that are unavailable, named as in `/readyz`. */
export async function missingParts(gateway: {
  storeIsReady(): Promise<boolean>
  issuer: Pick<Issuer, 'isKnown'>
}): Promise<string[]> {
  const missing = []
  if (!(await gateway.storeIsReady())) missing.push('session store')
  // Known once fetched: an issuer that fails later does not make the gateway unready.
  if (!gateway.issuer.isKnown()) missing.push('issuer metadata')
  return missing
}
