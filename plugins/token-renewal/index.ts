import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { Session } from '../oidc-session/sessions.ts'
import type { RenewalLog } from './renewal-log.ts'
import { createRenewer, type Renewer } from './renewer.ts'

declare module 'fastify' {
  interface FastifyInstance {
    renewer: Renewer
    /** An onRequest hook for what needs an access token. Comes after `requireSession`. */
    attachAccessToken(request: FastifyRequest): Promise<void>
    /** For `request.accessToken`, whose options these are. Comes after `loadSession`. */
    tokenFor(request: FastifyRequest, options: { resource?: string; forceRenewal?: boolean }): Promise<string>
    /** After `upstream` refused the request's token: true when the request has a newer one now. */
    replaceRefusedToken(request: FastifyRequest, upstream: string): Promise<boolean>
  }
  interface FastifyRequest {
    /** Fresh, and of this request's session alone. Null where nothing has asked for one. */
    bearer: string | null
  }
}

export interface TokenRenewalOptions {
  refreshBeforeExpirationMs: number
  issuerTimeoutMs: number
  clock: Clock
}

export default fp<TokenRenewalOptions>(
  async (app, options) => {
    const { sessions, sessionStore: store, issuer, metrics, sessionEvents: events } = app
    const renewer = createRenewer({
      ...options,
      sessions,
      store,
      issuer,
      metrics,
      events,
      random: Math.random,
    })

    app.decorate('renewer', renewer)
    app.decorateRequest('bearer', null)
    app.decorate('attachAccessToken', async (request: FastifyRequest) => {
      if (!request.session) throw new GatewayError('BFF_SESSION_REQUIRED')
      request.log.trace({ event: 'token.acquire' })
      const session = await renewer
        .withUsableToken(request.session, request.log)
        .catch((error) => app.failSession(request, error))
      request.log.trace({ event: 'token.acquired', renewed: session !== request.session })
      attach(request, session)
    })
    app.decorate('replaceRefusedToken', async (request: FastifyRequest, upstream: string) => {
      if (!request.session) return false
      const session = await renewer
        .afterRefusal(request.session, upstream, request.log)
        .catch((error) => app.failSession(request, error))
      if (session) attach(request, session)
      return session !== undefined
    })
    app.decorate('tokenFor', async (request: FastifyRequest, { resource, forceRenewal = false }) => {
      if (resource !== undefined) throw new TypeError(`No tokens are configured for the resource ${resource}`)
      if (!request.session) throw new GatewayError('BFF_SESSION_REQUIRED')
      const session = await withToken(request.session, forceRenewal, request.log).catch((error) =>
        app.failSession(request, error),
      )
      request.session = session
      return session.record.tokenSet.accessToken
    })
    // Closing goes backwards, so the store is still there: tokens that a grant is about to bring have to be stored.
    app.addHook('onClose', () => renewer.idle())

    async function withToken(session: Session, forced: boolean, log: RenewalLog): Promise<Session> {
      const newer = forced ? await renewer.afterRefusal(session, 'application', log) : undefined
      return newer ?? renewer.withUsableToken(session, log)
    }

    function attach(request: FastifyRequest, session: Session): void {
      request.session = session
      request.bearer = session.record.tokenSet.accessToken
    }
  },
  { name: 'token-renewal', fastify: '5.x', dependencies: ['oidc-session', 'session-store', 'issuer'] },
)
