import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import {
  type LogoutNotice,
  LogoutTokenError,
  logoutTokenLifetimeMs,
} from '../../plugins/issuer/logout-token.ts'
import { rememberEnd } from '../../plugins/oidc-session/ended-sid.ts'
import { sidIndex, subjectIndex } from '../../plugins/oidc-session/sessions.ts'
import type { EndedSession } from '../../plugins/session-events/session-events.ts'

type Notice = FastifyRequest<{ Body: URLSearchParams | undefined }>

/**
 * The issuer asks, server to server, to end sessions. It comes without their cookies, so their refresh tokens can't
 * be read and revoked: the issuer that sent it does that.
 *
 * @see https://openid.net/specs/openid-connect-backchannel-1_0.html
 */
export async function backchannelLogout(app: FastifyInstance): Promise<void> {
  const { clientId } = app.issuer
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<string>(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: FastifyRequest, body: string) => new URLSearchParams(body),
  )
  // Whatever else comes holds no token.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async () => undefined)

  app.post('/bff/backchannel-logout', async (request: Notice, reply) => {
    reply.header('cache-control', 'no-store')
    const notice = await verify(request)
    const { issuer } = notice
    const used = usedName(notice, clientId)
    if ((await app.sessionStore.claimLastsMs(used)) > 0) throw replayed()
    // First, so that a login under way either finds this or has a session by now that is ended with the others.
    if ('sid' in notice) await rememberEnd(app.sessionStore, { ...notice, clientId })
    const index =
      'sid' in notice
        ? sidIndex(issuer, clientId, notice.sid)
        : subjectIndex(issuer, clientId, notice.subject)
    const sessions = await app.sessionStore.destroyBy(index)
    app.metrics.sessionEnded('backchannel_logout', sessions)
    if (sessions > 0) app.sessionEvents.ended(endedBy(notice), 'backchannel_logout')
    request.log.info({ event: 'session.ended', reason: 'backchannel_logout', sessions })
    // Only now: if the store fails before, the issuer can send the same token again.
    if (!(await app.sessionStore.claim(used, logoutTokenLifetimeMs))) throw replayed()
    return reply.send()
  })

  async function verify({ body, log }: Notice): Promise<LogoutNotice> {
    const [token, ...others] = body?.getAll('logout_token') ?? []
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

/** What a notice says of the sessions that it ends. */
function endedBy(notice: LogoutNotice): EndedSession {
  const { issuer } = notice
  return 'sid' in notice ? { issuer, sid: notice.sid } : { issuer, subject: notice.subject }
}

/** Under which a token is remembered that this client has heeded. */
function usedName({ issuer, jti }: LogoutNotice, clientId: string): string {
  const hash = createHash('sha256').update(JSON.stringify([issuer, clientId, jti]))
  return `logout-token:${hash.digest('base64url')}`
}

function replayed(): GatewayError {
  return new GatewayError('BFF_LOGOUT_REJECTED', { details: 'The logout token has been used' })
}
