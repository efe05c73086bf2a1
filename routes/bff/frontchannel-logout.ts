import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { sidIndex } from '../../plugins/oidc-session/sessions.ts'
import { endSession } from './end-session.ts'
import type { RouteOptions } from './options.ts'

/**
 * The issuer's page asks, in a frame, to end a session. A Strict cookie doesn't come along into a frame on another
 * site, so the session is found by what only the issuer, we and its own page know: its `sid`.
 *
 * @see https://openid.net/specs/openid-connect-frontchannel-1_0.html
 */
export async function frontchannelLogout(app: FastifyInstance, { oidc }: RouteOptions): Promise<void> {
  const frameAncestors = `default-src 'none'; frame-ancestors ${oidc.issuer.origin}`

  app.get(
    '/bff/frontchannel-logout',
    async (request: FastifyRequest<{ Querystring: Record<string, unknown> }>, reply) => {
      reply.header('cache-control', 'no-store').header('content-security-policy', frameAncestors)
      const { iss, sid } = request.query
      if (typeof sid !== 'string' || sid === '' || iss !== (await app.issuer.identifier())) {
        throw new GatewayError('BFF_LOGOUT_REJECTED', { details: 'iss and sid must be those of a session' })
      }
      const own = await app.openSession(request, { slide: false })
      if (own?.record.sid === sid) await endSession(app, request, own, 'frontchannel_logout')
      const others = await app.sessionStore.destroyBy(sidIndex(iss, sid))
      if (others === 0 && own?.record.sid !== sid) {
        throw new GatewayError('BFF_LOGOUT_REJECTED', { details: 'iss and sid must be those of a session' })
      }
      if (others > 0)
        request.log.info({ event: 'session.ended', reason: 'frontchannel_logout', sessions: others })
      app.metrics.sessionEnded('frontchannel_logout', others)
      return reply.type('text/html; charset=utf-8').send('<!doctype html><title>Signed out</title>')
    },
  )
}
