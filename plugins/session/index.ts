import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { addToLog } from '../logging/logger.ts'
import { createPublicIds } from './public-ids.ts'
import { type Session, sessionHash } from './session.ts'
import { createSessionList, type SessionList } from './session-list.ts'
import { createSessionProfiles, sessionClient } from './session-profiles.ts'
import { logName } from './session-record.ts'
import type { SessionReference } from './session-reference.ts'
import { createSessions, type Sessions } from './sessions.ts'
import { mayBeSuperseded } from './superseded-session.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * Whether the route's responses may clear the cookie of an ended session and re-encrypt an outdated cookie: always,
     * or on navigations only. Unset: never, as for upstreams and an application's own routes. Their responses may
     * take so long that they would overwrite the cookie of the browser's next session.
     */
    sessionCookieUpdates?: 'always' | 'on-navigation'
  }
  interface FastifyRequest {
    /** The loaded session, tokens included. Applications use `request.session`, which has no tokens. */
    userSession: Session | null
  }
  interface FastifyInstance {
    sessions: Sessions
    sessionList: SessionList
    /**
     * Loads the session of the request's cookie. The route's `config.sessionCookieUpdates` decides whether to update the
     * cookie.
     * @throws GatewayError BFF_SESSION_NOT_BOUND if the request does not come from the session's device
     */
    findSession(request: FastifyRequest, options?: FindOptions): Promise<Session | null>
    /**
     * Sets `request.userSession` without waiting, if the session is in memory and nothing of it is due.
     * @returns the session; null: call `loadSession`
     */
    loadCachedSession(request: FastifyRequest): Session | null
    /** An onRequest hook: `request.userSession` is the session, or null. */
    loadSession(request: FastifyRequest): Promise<void>
    /** Reports once that the session of a cookie has expired or was lost, after it was not found. Never fails. */
    reportIfFoundEnded(request: FastifyRequest, reference: SessionReference): Promise<void>
    /** An onRequest hook: 401 without a session. */
    requireSession(request: FastifyRequest): Promise<void>
  }
}

export interface FindOptions {
  /** Default true: extends the idle timeout. */
  slide?: boolean
  /** `optional`: without a proof of the session's device, too. For endpoints that only begin, end or refresh something. */
  proof?: 'optional'
}

export interface OidcSessionOptions {
  /** Extended by each use. */
  idleTimeoutMs: number
  /** Absolute maximum. */
  lifetimeMs: number
  /** Maximum number of sessions per user. */
  maxPerUser: number
  /** SESSION_KEYS: the first seals, all open. */
  keys: Buffer[]
  clock: Clock
}

export default fp<OidcSessionOptions>(
  async (app, options) => {
    const { clientId } = app.issuer
    const { sessionStore: store } = app
    const profiles = createSessionProfiles(options.keys)
    const publicIds = createPublicIds(options.keys)
    const sessions = createSessions({ ...options, clientId, store, profiles })
    app.decorate('sessions', sessions)
    app.decorate('sessionList', createSessionList({ store, clientId, profiles, publicIds }))
    app.decorate('findSession', findSession)
    app.decorate('loadCachedSession', (request: FastifyRequest) => {
      if (request.userSession) return request.userSession
      const reference = app.browserCookies.sessionReference(request)
      // One that a former key has encrypted may have to be encrypted again.
      if (!reference || app.browserCookies.isOutdated(request)) return null
      const session = sessions.loadCached(reference)
      if (!session) return null
      describeInLog(request, session)
      app.deviceBinding.demandProof(request, session)
      request.userSession = session
      return session
    })
    app.decorate('loadSession', async (request: FastifyRequest) => {
      request.userSession ??= await findSession(request)
    })
    app.decorate('reportIfFoundEnded', async (request: FastifyRequest, reference: SessionReference) => {
      try {
        const madeAt = app.browserCookies.sessionCookieMadeAt(request)
        const found = await sessions.findEnd(reference, madeAt)
        if (found) app.reportFoundEnding(found, request.log)
      } catch {
        // The store is unavailable: the next request finds out.
      }
    })
    app.decorate('requireSession', async (request: FastifyRequest) => {
      await app.loadSession(request)
      if (!request.userSession) throw new GatewayError('BFF_SESSION_REQUIRED')
    })

    async function findSession(request: FastifyRequest, { proof, ...options }: FindOptions = {}) {
      const reference = app.browserCookies.sessionReference(request)
      if (!reference) return null
      const session = await app.tracing.span('session.lookup', {}, () =>
        sessions.load(reference, { ...options, client: () => sessionClient(request) }),
      )
      if (!session) {
        await app.reportIfFoundEnded(request, reference)
        if (await mayChangeCookie(request, reference)) app.browserCookies.clearSession(request)
        return null
      }
      describeInLog(request, session)
      if (proof !== 'optional') app.deviceBinding.demandProof(request, session)
      if (app.browserCookies.isOutdated(request) && (await mayChangeCookie(request, reference)))
        app.browserCookies.resealSession(request)
      return session
    }

    function describeInLog(request: FastifyRequest, session: Session): void {
      addToLog(request, {
        user: logName(session.record),
        get sessionHash() {
          return sessionHash(session)
        },
      })
    }

    /** The cookie of an ended session does no harm, so if in doubt it stays. */
    async function mayChangeCookie(request: FastifyRequest, reference: SessionReference): Promise<boolean> {
      const updates = request.routeOptions.config?.sessionCookieUpdates
      const { 'sec-fetch-mode': mode = 'navigate' } = request.headers
      if (updates === undefined) return false
      if (updates === 'on-navigation' && mode !== 'navigate') return false
      return mayBeSuperseded(app.sessionStore, reference).then(
        (superseded) => !superseded,
        () => false,
      )
    }
  },
  {
    name: 'oidc-session',
    fastify: '5.x',
    dependencies: [
      'request-members',
      'session-cookie',
      'session-store',
      'session-events',
      'issuer',
      'tracing',
      'device-binding',
    ],
  },
)
