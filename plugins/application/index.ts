import type { FastifyReply, FastifyRequest, onSendHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { UpstreamOptions } from '../../config/index.ts'
import { asGatewayError } from '../errors/gateway-error.ts'
import { answerError } from '../errors/index.ts'
import { type RequestGuardOptions, requestChecks } from '../guard/checks.ts'
import type { Issuer } from '../issuer/issuer.ts'
import { tokenTarget } from '../issuer/token-target.ts'
import type { WantedToken } from '../renewal/renewer.ts'
import type { SessionHooks } from '../session/events/session-events.ts'
import { type SessionInfo, sessionInfo } from '../session/session-info.ts'
import { StoreUnavailableError } from '../session-store/store.ts'
import { type AuthorizedInit, createAuthorizedFetch } from './authorized-fetch.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What the gateway does for an application's own routes. */
    bff: Bff
  }
  interface FastifyRequest {
    /**
     * The user's session, once `app.bff.requireSession` or `app.bff.loadSession` has looked for it; null when there is
     * none. It holds no token.
     */
    readonly session: SessionInfo | null
    /**
     * An access token of the request's user that can be sent now, renewed if need be. For a remote API alone: it must
     * never reach a browser.
     *
     * @throws GatewayError 401 `BFF_SESSION_REQUIRED` without a session, 401 `BFF_SESSION_ENDED` when the issuer refuses
     *   to renew, 503 `BFF_ISSUER_UNAVAILABLE` or `BFF_STORE_UNAVAILABLE`, each with a `statusCode`, so that Fastify
     *   answers right if nobody catches it
     */
    accessToken(options?: AccessTokenOptions): Promise<string>
  }
}

export interface AccessTokenOptions {
  /** Of the API that the token is for, an absolute URI (RFC 8707). Default: the session's own token. */
  resource?: string
  /**
   * After an API has refused the last token: renews it although it has time left, unless that has happened meanwhile.
   * At most once per session, resource and `refreshBeforeExpiration`; otherwise the token is the same as before. Default false.
   */
  forceRenewal?: boolean
}

/** Hooks of the application. Neither token nor cookie is given to them. */
export type BffHooks = SessionHooks<FastifyRequest>

export interface Bff {
  /** Where to log in, as the browser sees it. `?returnUrl=/path` leads back. */
  readonly loginUrl: string
  /** An onRequest hook: only signed-in users get past it. @throws GatewayError 401 `BFF_SESSION_REQUIRED` */
  requireSession(request: FastifyRequest): Promise<void>
  /** An onRequest hook for routes that anybody may call: `request.session` is the session, or null. */
  loadSession(request: FastifyRequest): Promise<void>
  /**
   * An onRequest hook for what the frontend's scripts call: demands the CSRF header and refuses other sites' pages.
   * Whatever changes something on behalf of the session needs it. @throws GatewayError 403 `BFF_CSRF_REJECTED`
   */
  guard(request: FastifyRequest): Promise<void>
  /** The same as `request.accessToken(options)`. */
  accessToken(request: FastifyRequest, options?: AccessTokenOptions): Promise<string>
  /**
   * As `fetch`, with the token of the request's user; when the API refuses it, once more with a newer one.
   *
   * @param url below the target of an upstream with `token: 'user'`, or a path below its prefix, as the frontend would
   *   call it. So that a token never goes anywhere else, other URLs are a TypeError and redirects are not followed
   * @throws GatewayError as `request.accessToken` does, 502 `BFF_UPSTREAM_UNREACHABLE` and 504 `BFF_UPSTREAM_TIMEOUT`
   */
  fetch(request: FastifyRequest, url: string | URL, init?: AuthorizedInit): Promise<Response>
  /** For `setErrorHandler` of a scope whose errors are to look like the gateway's own. */
  errorHandler(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply
  /** What the gateway can't work without just now, for an application's readiness probe. Empty: all is well. */
  missing(): Promise<string[]>
}

export interface LocalRoutesOptions extends RequestGuardOptions {
  loginUrl: string
  upstreams: UpstreamOptions[]
}

/** An onSend hook: what a route answers to a user is kept by no cache, unless the route says what may be kept. */
export const keepFromCaches: onSendHookHandler = ({ userSession }, reply, payload, done) => {
  if (userSession && !reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  done(null, payload)
}

/** What an application's requests have before anything else is there: other scopes inherit it. */
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
      accessToken: (request, { resource, forceRenewal } = {}) =>
        tokenFor(request, {
          target: resource === undefined ? undefined : tokenTarget({ resource }),
          forceRenewal,
        }),
      fetch: (request, url, init = {}) =>
        upstreamCalls.fetch(url, init, (wanted) => tokenFor(request, wanted)),
      errorHandler: answerError(loginUrl),
      missing: () => missingParts(app),
    }
    app.decorate('bff', bff)

    async function tokenFor(request: FastifyRequest, wanted: WantedToken): Promise<string> {
      await bff.loadSession(request)
      return app.tokenFor(request, wanted).catch(throwCatalogued)
    }
  },
  {
    name: 'local-routes',
    fastify: '5.x',
    dependencies: ['request-members', 'oidc-session', 'token-renewal'],
  },
)

/** Whoever answers knows no more than an error's `statusCode`. */
function throwCatalogued(error: unknown): never {
  throw error instanceof StoreUnavailableError ? asGatewayError(error) : error
}

/** What the gateway can't work without and doesn't have, in the words of `/readyz`. */
export async function missingParts(gateway: {
  storeIsReady(): Promise<boolean>
  issuer: Pick<Issuer, 'isKnown'>
}): Promise<string[]> {
  const missing = []
  if (!(await gateway.storeIsReady())) missing.push('session store')
  // Whether they were ever learned: an issuer that fails later does not make the gateway unready.
  if (!gateway.issuer.isKnown()) missing.push('issuer metadata')
  return missing
}
