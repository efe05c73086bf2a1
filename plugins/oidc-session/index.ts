import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { addToLog } from '../logging/add-to-log.ts'
import { displayName } from './session-record.ts'
import { createSessions, type Session, type Sessions, sessionHash } from './sessions.ts'

declare module 'fastify' {
  interface FastifyInstance {
    sessions: Sessions
    /** Opens the session of the request's cookie, and clears a cookie whose session has ended. */
    openSession(request: FastifyRequest, options?: { slide?: boolean }): Promise<Session | null>
    /** Lets the cookie follow what became of its session, then throws the error again. */
    failSession(request: FastifyRequest, error: Error): never
    /** An onRequest hook: `request.session` is the session, or null. */
    loadSession(request: FastifyRequest): Promise<void>
    /** An onRequest hook: 401 without a session. */
    requireSession(request: FastifyRequest): Promise<void>
  }
}

export interface OidcSessionOptions {
  /** Sliding. */
  idleTimeoutMs: number
  /** Absolute. */
  lifetimeMs: number
  /** The most sessions that one user has. */
  maxPerUser: number
  clock: Clock
}

export default fp<OidcSessionOptions>(
  async (app, options) => {
    const sessions = createSessions({ ...options, clientId: app.issuer.clientId, store: app.sessionStore })
    app.decorate('sessions', sessions)
    app.decorate('openSession', openSession)
    app.decorate('failSession', failSession)
    app.decorate('loadSession', async (request: FastifyRequest) => {
      request.session ??= await openSession(request)
    })
    app.decorate('requireSession', async (request: FastifyRequest) => {
      await app.loadSession(request)
      if (!request.session) throw new GatewayError('BFF_SESSION_REQUIRED')
    })

    async function openSession(request: FastifyRequest, options: { slide?: boolean } = {}) {
      const reference = app.browserCookies.sessionReference(request)
      if (!reference) return null
      const session = await sessions.open(reference, options).catch((error) => failSession(request, error))
      if (!session) {
        app.browserCookies.clearSession(request)
        return null
      }
      addToLog(request, { user: displayName(session.record), sessionHash: sessionHash(session) })
      return session
    }

    function failSession(request: FastifyRequest, error: Error): never {
      if (error instanceof GatewayError && error.statusCode === 401) app.browserCookies.clearSession(request)
      // Nobody is signed out and no cookie set while store or issuer can't be asked.
      else app.browserCookies.leaveSession(request)
      throw error
    }
  },
  {
    name: 'oidc-session',
    fastify: '5.x',
    dependencies: ['request-members', 'session-cookie', 'session-store', 'issuer'],
  },
)
