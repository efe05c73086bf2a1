import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { type LogoutNotice, LogoutTokenError } from '../../plugins/issuer/logout-token.ts'
import { sidIndex, subjectIndex } from '../../plugins/oidc-session/sessions.ts'
import type { RouteOptions } from './options.ts'

/**
 * The issuer asks, server to server, to end sessions. It comes without their cookies, so their refresh tokens can't
 * be read and revoked: the issuer that sent it does that.
 *
 * @see https://openid.net/specs/openid-connect-backchannel-1_0.html
 */
export async function backchannelLogout(app: FastifyInstance, { clock }: RouteOptions): Promise<void> {
  app.addContentTypeParser<string>(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: FastifyRequest, body: string) => new URLSearchParams(body),
  )

  app.post('/bff/backchannel-logout', async (request: FastifyRequest<{ Body: unknown }>, reply) => {
    reply.header('cache-control', 'no-store')
    const notice = await verify(request)
    const name = createHash('sha256')
      .update(JSON.stringify([notice.issuer, notice.jti]))
      .digest('base64url')
    if (!(await app.sessionStore.claim(`logout-token:${name}`, notice.expiresAt - clock.now()))) {
      throw new GatewayError('BFF_LOGOUT_REJECTED', { details: 'The logout token has been used' })
    }
    const index =
      'sid' in notice ? sidIndex(notice.issuer, notice.sid) : subjectIndex(notice.issuer, notice.subject)
    const sessions = await app.sessionStore.destroyBy(index)
    app.metrics.sessionEnded('backchannel_logout', sessions)
    request.log.info({ event: 'session.ended', reason: 'backchannel_logout', sessions })
    return reply.send()
  })

  async function verify({ body, log }: FastifyRequest<{ Body: unknown }>): Promise<LogoutNotice> {
    const [token, ...others] = body instanceof URLSearchParams ? body.getAll('logout_token') : []
    if (token === undefined || others.length > 0) {
      throw new GatewayError('BFF_LOGOUT_REJECTED', { details: 'One logout_token is needed, in a form' })
    }
    try {
      return await app.issuer.verifyLogoutToken(token)
    } catch (error) {
      if (!(error instanceof LogoutTokenError)) throw error
      log.warn({ event: 'logout.rejected', err: error })
      throw new GatewayError('BFF_LOGOUT_REJECTED', {
        details: 'The logout token is not valid',
        cause: error,
      })
    }
  }
}
