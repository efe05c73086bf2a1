import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { UpstreamOptions } from '../../config/index.ts'
import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { type AccessToken, type TokenTarget, tokenTarget } from '../issuer/token-set.ts'
import { deriveKeys } from '../session/sealing.ts'
import type { Session } from '../session/session.ts'
import { heldToken } from '../session/session-record.ts'
import { type ClientTokens, createClientTokens } from './client-tokens.ts'
import { createSentTokens, type SentToken, type SentTokens } from './token-headers.ts'
import { createUserTokens, type UserTokens, type WantedToken } from './user-tokens.ts'

declare module 'fastify' {
  interface FastifyInstance {
    userTokens: UserTokens
    /** Returns the source of access tokens for requests to an upstream. */
    tokenSource(upstream: UpstreamToken): TokenSource
    /** A usable token of the user's, for an application's own calls. Call after `loadSession`. */
    tokenFor(request: FastifyRequest, wanted: WantedToken): Promise<SentToken>
  }
  interface FastifyRequest {
    /** The access token to send to the upstream with this request. Null: none, or not yet acquired. */
    upstreamToken: SentToken | null
  }
}

/** An upstream's token options. */
export type UpstreamToken = Pick<
  UpstreamOptions,
  'prefix' | 'token' | 'scope' | 'resource' | 'audience' | 'exchange'
>

export interface TokenSource {
  /**
   * Does what `attach` does, if nothing has to be awaited for it: the session is at hand, and its token is fresh.
   * @returns whether it did; false: call `attach`
   */
  attachNow(request: FastifyRequest): boolean
  /**
   * An onRequest hook: sets `request.upstreamToken` to the token for the upstream.
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
  /** Whether tokens are bound to keys. */
  dpop: boolean
  issuerTimeoutMs: number
  storeTimeoutMs: number
  refreshBeforeExpirationMs: number
  clock: Clock
}

export default fp<TokenSourcesOptions>(
  async (app, { keys, issuerUrl, dpop, ...options }) => {
    const { sessions, sessionStore: store, issuer, metrics, tracing, reportEnding, sessionEvents } = app
    const shared = { ...options, store, issuer, metrics, tracing, random: Math.random }
    const userTokens = createUserTokens({
      ...shared,
      sessions,
      reportEnding,
      onRenewed: sessionEvents.renewed,
    })
    const clientTokens = createClientTokens({
      ...shared,
      dpop,
      issuerUrl: issuerUrl.href,
      keys: deriveKeys(keys, 'client tokens'),
    })
    const sent = createSentTokens(options.clock)
    app.decorate('userTokens', userTokens)
    app.decorateRequest('upstreamToken', null)
    app.decorate('tokenSource', (upstream: UpstreamToken) => sourceFor(app, clientTokens, sent, upstream))
    app.decorate('tokenFor', async (request: FastifyRequest, { target, forceRenewal }: WantedToken) => {
      const { userSession: session, log } = request
      if (!session) throw new GatewayError('BFF_SESSION_REQUIRED')
      const newer = forceRenewal
        ? await userTokens.forceRenewal(session, 'application', log, target)
        : undefined
      request.userSession = newer ?? (await userTokens.withUsableToken(session, log, target))
      return sent(userTokenOf(request.userSession, target))
    })
    // onClose hooks run in reverse order, so running grants can still store their tokens.
    app.addHook('onClose', () => Promise.all([userTokens.idle(), clientTokens.idle()]))
  },
  {
    name: 'tokens',
    fastify: '5.x',
    dependencies: [
      'request-members',
      'oidc-session',
      'session-cookie',
      'session-store',
      'session-events',
      'issuer',
      'tracing',
      'observability',
    ],
  },
)

function sourceFor(
  app: FastifyInstance,
  clientTokens: ClientTokens,
  sent: SentTokens,
  upstream: UpstreamToken,
): TokenSource {
  const ofUser = () => userToken(app, sent, upstream)
  const ofClient = () => clientToken(clientTokens, sent, upstream)
  switch (upstream.token) {
    case 'user':
      return signedInOnly(app, ofUser())
    case 'client':
      return ofClient()
    case 'user-or-client':
      return bySession(app, ofUser(), ofClient())
    case 'user-or-none':
      return bySession(app, ofUser(), noToken)
    case 'none':
      return noToken
  }
}

const noToken: TokenSource = {
  attachNow: () => true,
  async attach() {},
  replaceRefused: async () => false,
}

/** Requires that the request's session is loaded. */
function userToken({ userTokens }: FastifyInstance, sent: SentTokens, upstream: UpstreamToken): TokenSource {
  const target = tokenTarget(upstream)
  return {
    attachNow(request) {
      const { userSession, log } = request
      if (!userSession || !userTokens.isFresh(userSession, target)) return false
      log.trace({ event: 'token.acquire' })
      log.trace({ event: 'token.acquired', renewed: false })
      use(request, userSession)
      return true
    },
    async attach(request) {
      const { userSession, log } = request
      if (!userSession) throw new GatewayError('BFF_SESSION_REQUIRED')
      log.trace({ event: 'token.acquire' })
      const session = await userTokens.withUsableToken(userSession, log, target)
      log.trace({ event: 'token.acquired', renewed: session !== userSession })
      use(request, session)
    },
    async replaceRefused(request) {
      const { userSession, log } = request
      const session =
        userSession && (await userTokens.forceRenewal(userSession, upstream.prefix, log, target))
      if (session) use(request, session)
      return Boolean(session)
    },
  }

  function use(request: FastifyRequest, session: Session): void {
    request.userSession = session
    request.upstreamToken = sent(userTokenOf(session, target))
  }
}

function userTokenOf({ record }: Session, target: TokenTarget | undefined): AccessToken {
  const token = heldToken(record, target)
  if (!token) throw new GatewayError('BFF_ISSUER_UNAVAILABLE')
  return token
}

function clientToken(clientTokens: ClientTokens, sent: SentTokens, upstream: UpstreamToken): TokenSource {
  return {
    attachNow: () => false,
    async attach(request) {
      request.upstreamToken = sent(await clientTokens.usable(upstream, request.log))
    },
    async replaceRefused(request) {
      const refused = { accessToken: request.upstreamToken?.value ?? '', parameters: upstream }
      const token = await clientTokens.forceRenewal(refused, upstream.prefix, request.log)
      if (token) request.upstreamToken = sent(token)
      return token !== undefined
    },
  }
}

function signedInOnly(app: FastifyInstance, source: TokenSource): TokenSource {
  return {
    ...source,
    attachNow: (request) => app.loadCachedSession(request) !== null && source.attachNow(request),
    async attach(request) {
      await app.requireSession(request)
      await source.attach(request)
    },
  }
}

function bySession(app: FastifyInstance, signedIn: TokenSource, anonymous: TokenSource): TokenSource {
  const source = ({ userSession }: FastifyRequest) => (userSession ? signedIn : anonymous)
  return {
    attachNow(request) {
      const isAnonymous = app.browserCookies.sessionReference(request) === undefined
      if (!isAnonymous && !app.loadCachedSession(request)) return false
      return source(request).attachNow(request)
    },
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
