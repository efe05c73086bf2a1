import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import type { Session } from '../session/sessions.ts'
import { heldToken } from './held-token.ts'
import type { RenewalLog } from './renewal-log.ts'
import { createRenewer, type Renewer, type WantedToken } from './renewer.ts'

declare module 'fastify' {
  interface FastifyInstance {
    renewer: Renewer
    /**
     * Sets `request.bearer` to a usable access token, for `target` or the session's own. Call after `requireSession`.
     */
    acquireUserToken(request: FastifyRequest, target: TokenTarget | undefined): Promise<void>
    /** A usable access token, for an application's own calls. Call after `loadSession`. */
    tokenFor(request: FastifyRequest, wanted: WantedToken): Promise<string>
    /** After `upstream` refused the request's token: replaces it. @returns whether there is a newer one */
    replaceRefusedToken(
      request: FastifyRequest,
      upstream: string,
      target: TokenTarget | undefined,
    ): Promise<boolean>
  }
  interface FastifyRequest {
    /** The access token to send to the upstream with this request. Null until one was acquired. */
    bearer: string | null
  }
}

export interface TokenRenewalOptions {
  refreshBeforeExpirationMs: number
  issuerTimeoutMs: number
  storeTimeoutMs: number
  clock: Clock
}

export default fp<TokenRenewalOptions>(
  async (app, options) => {
    const { sessions, sessionStore: store, issuer, metrics, reportEnding, sessionEvents } = app
    const renewer = createRenewer({
      ...options,
      sessions,
      store,
      issuer,
      metrics,
      reportEnding,
      onRenewed: sessionEvents.renewed,
      random: Math.random,
    })

    app.decorate('renewer', renewer)
    app.decorateRequest('bearer', null)
    app.decorate('acquireUserToken', async (request: FastifyRequest, target: TokenTarget | undefined) => {
      if (!request.userSession) throw new GatewayError('BFF_SESSION_REQUIRED')
      request.log.trace({ event: 'token.acquire' })
      const session = await renewer.withUsableToken(request.userSession, request.log, target)
      request.log.trace({ event: 'token.acquired', renewed: session !== request.userSession })
      attach(request, session, target)
    })
    app.decorate('replaceRefusedToken', replaceRefusedToken)
    app.decorate('tokenFor', async (request: FastifyRequest, wanted: WantedToken) => {
      if (!request.userSession) throw new GatewayError('BFF_SESSION_REQUIRED')
      const session = await withToken(request.userSession, wanted, request.log)
      request.userSession = session
      return tokenOf(session, wanted.target)
    })
    // onClose hooks run in reverse order, so the store is still open for the tokens of grants under way.
    app.addHook('onClose', () => renewer.idle())

    async function withToken(session: Session, wanted: WantedToken, log: RenewalLog): Promise<Session> {
      const { target, forceRenewal } = wanted
      const newer = forceRenewal ? await renewer.afterRefusal(session, 'application', log, target) : undefined
      return newer ?? renewer.withUsableToken(session, log, target)
    }

    async function replaceRefusedToken(
      request: FastifyRequest,
      upstream: string,
      target: TokenTarget | undefined,
    ): Promise<boolean> {
      if (!request.userSession) return false
      const session = await renewer.afterRefusal(request.userSession, upstream, request.log, target)
      if (session) attach(request, session, target)
      return session !== undefined
    }

    function attach(request: FastifyRequest, session: Session, target: TokenTarget | undefined): void {
      request.userSession = session
      request.bearer = tokenOf(session, target)
    }
  },
  {
    name: 'token-renewal',
    fastify: '5.x',
    dependencies: [
      'request-members',
      'oidc-session',
      'session-store',
      'session-events',
      'issuer',
      'observability',
    ],
  },
)

function tokenOf({ record }: Session, target: TokenTarget | undefined): string {
  const token = heldToken(record, target)
  if (!token) throw new GatewayError('BFF_ISSUER_UNAVAILABLE')
  return token.accessToken
}
