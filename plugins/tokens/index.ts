import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { UpstreamOptions } from '../../config/index.ts'
import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { tokenTarget } from '../issuer/token-target.ts'
import { deriveKeys } from '../session/cookie/keys.ts'
import { type ClientTokens, createClientTokens } from './client-tokens.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Returns the source of access tokens for requests to an upstream. */
    tokenSource(upstream: UpstreamToken): TokenSource
  }
}

/** An upstream's token options. */
export type UpstreamToken = Pick<
  UpstreamOptions,
  'prefix' | 'token' | 'scope' | 'resource' | 'audience' | 'exchange'
>

export interface TokenSource {
  /**
   * An onRequest hook: sets `request.bearer` to the token for the upstream.
   *
   * Never falls back to a weaker token on a failure: with `user-or-…`, a request with a session gets the user's token
   * or an error.
   */
  attach(request: FastifyRequest): Promise<void>
  /** After the upstream refused the token: replaces it. @returns whether there is another one */
  replaceRefused(request: FastifyRequest): Promise<boolean>
}

export interface TokenSourcesOptions {
  /** 32 bytes each. The first encrypts, all decrypt. */
  keys: Buffer[]
  issuerUrl: URL
  issuerTimeoutMs: number
  storeTimeoutMs: number
  refreshBeforeExpirationMs: number
  clock: Clock
}

export default fp<TokenSourcesOptions>(
  async (app, { keys, issuerUrl, ...options }) => {
    const clientTokens = createClientTokens({
      ...options,
      store: app.sessionStore,
      issuer: app.issuer,
      metrics: app.metrics,
      issuerUrl: issuerUrl.href,
      keys: deriveKeys(keys, 'client tokens') as [Buffer, ...Buffer[]],
      random: Math.random,
    })
    app.decorate('tokenSource', (upstream: UpstreamToken) => sourceFor(app, clientTokens, upstream))
    app.addHook('onClose', () => clientTokens.idle())
  },
  {
    name: 'token-sources',
    fastify: '5.x',
    dependencies: [
      'request-members',
      'token-renewal',
      'oidc-session',
      'session-cookie',
      'session-store',
      'issuer',
      'observability',
    ],
  },
)

function sourceFor(app: FastifyInstance, clientTokens: ClientTokens, upstream: UpstreamToken): TokenSource {
  switch (upstream.token) {
    case 'user':
      return signedInOnly(app, userToken(app, upstream))
    case 'client':
      return clientToken(clientTokens, upstream)
    case 'user-or-client':
      return bySession(app, userToken(app, upstream), clientToken(clientTokens, upstream))
    case 'user-or-none':
      return bySession(app, userToken(app, upstream), noToken)
    case 'none':
      return noToken
  }
}

const noToken: TokenSource = {
  async attach() {},
  replaceRefused: async () => false,
}

/** Requires that the request's session is loaded. */
function userToken(app: FastifyInstance, upstream: UpstreamToken): TokenSource {
  const target = tokenTarget(upstream)
  return {
    attach: (request) => app.acquireUserToken(request, target),
    replaceRefused: (request) => app.replaceRefusedToken(request, upstream.prefix, target),
  }
}

function clientToken(clientTokens: ClientTokens, upstream: UpstreamToken): TokenSource {
  return {
    async attach(request) {
      request.bearer = (await clientTokens.usable(upstream, request.log)).accessToken
    },
    async replaceRefused(request) {
      const refused = { accessToken: request.bearer ?? '', parameters: upstream }
      const token = await clientTokens.afterRefusal(refused, upstream.prefix, request.log)
      if (token) request.bearer = token.accessToken
      return token !== undefined
    },
  }
}

function signedInOnly(app: FastifyInstance, source: TokenSource): TokenSource {
  return {
    ...source,
    async attach(request) {
      await app.requireSession(request)
      await source.attach(request)
    },
  }
}

function bySession(app: FastifyInstance, signedIn: TokenSource, anonymous: TokenSource): TokenSource {
  const source = ({ userSession }: FastifyRequest) => (userSession ? signedIn : anonymous)
  return {
    async attach(request) {
      const hadSessionCookie = app.browserCookies.sessionReference(request) !== undefined
      await app.loadSession(request)
      // A user whose session has ended gets 401 instead of an anonymous response.
      if (hadSessionCookie && !request.userSession) throw new GatewayError('BFF_SESSION_REQUIRED')
      await source(request).attach(request)
    },
    replaceRefused: (request) => source(request).replaceRefused(request),
  }
}
