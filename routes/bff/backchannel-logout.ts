import { createHash } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { clientKey } from '../../http/client-address.ts'
import { createTally } from '../../lib/tally.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import {
  type LogoutNotice,
  LogoutTokenError,
  logoutTokenLifetimeMs,
} from '../../plugins/issuer/logout-token.ts'
import { hashForLog } from '../../plugins/logging/logger.ts'
import { rememberEnd } from '../../plugins/login/ended-sid.ts'
import type { EndedSession } from '../../plugins/session/events/session-events.ts'
import { sidIndex, subjectIndex } from '../../plugins/session/session-indexes.ts'
import { readForms } from './body-parsers.ts'
import type { RouteOptions } from './options.ts'

/**
 * Maximum number of notices processed at the same time. Each needs a few store commands; more would only queue there.
 */
const maxUnderWay = 100

type Notice = FastifyRequest<{ Body: URLSearchParams | undefined }>

/**
 * The issuer asks, server to server, to end sessions. The request has no cookies, so the sessions' refresh tokens
 * can't be decrypted and revoked here; revoking them is up to the issuer.
 *
 * Valid notices are not rate-limited: signing all users out sends thousands at once, and issuers don't retry. Invalid
 * ones are limited, without using the store.
 *
 * @see https://openid.net/specs/openid-connect-backchannel-1_0.html
 */
export async function backchannelLogout(
  app: FastifyInstance,
  { clock, requestsPerMinute }: RouteOptions,
): Promise<void> {
  const { clientId } = app.issuer
  const invalid = createTally(clock, requestsPerMinute)
  const limitConcurrency = createConcurrencyLimit(maxUnderWay)
  readForms(app)

  const config = { rateLimit: false, answersWhenOverloaded: true } as const
  app.post('/bff/backchannel-logout', { config }, async (request: Notice, reply) => {
    reply.header('cache-control', 'no-store')
    const notice = await verify(request)
    await limitConcurrency(() => endNamedSessions(notice, request.log))
    return reply.send()
  })

  async function endNamedSessions(notice: LogoutNotice, log: FastifyBaseLogger): Promise<void> {
    const { issuer } = notice
    const used = replayKey(notice, clientId)
    if ((await app.sessionStore.markerTtlMs(used)) > 0) throw replayed()
    // First: a login under way then either finds this, or its session already exists and is ended below.
    if ('sid' in notice) await rememberEnd(app.sessionStore, { ...notice, clientId })
    const index =
      'sid' in notice
        ? sidIndex(issuer, clientId, notice.sid)
        : subjectIndex(issuer, clientId, notice.subject)
    const sessions = await app.sessionStore.destroyBy(index, 'backchannel_logout')
    const whose = 'sid' in notice ? { sid: hashForLog(notice.sid) } : { sub: hashForLog(notice.subject) }
    log.info({ event: 'logout.notice', sessions: sessions.length, ...whose })
    app.reportUnreadEndings(endedBy(notice), 'backchannel_logout', log, sessions, whose)
    // Marked as used last: if the store fails before, the issuer can send the same token again.
    if (!(await app.sessionStore.addMarker(used, logoutTokenLifetimeMs))) throw replayed()
  }

  async function verify(request: Notice): Promise<LogoutNotice> {
    const { body, log } = request
    const client = clientKey(request)
    const [token, ...others] = body?.getAll('logout_token') ?? []
    try {
      if (token === undefined || others.length > 0)
        throw new GatewayError('BFF_LOGOUT_REJECTED', { details: 'One logout_token is needed, in a form' })
      return await app.issuer.verifyLogoutToken(token)
    } catch (error) {
      const isInvalid = error instanceof LogoutTokenError
      if (!isInvalid && !(error instanceof GatewayError && error.statusCode === 400)) throw error
      const waitMs = invalid.waitMs(client)
      // Not logged: a flood must not fill the log.
      if (waitMs > 0) throw new GatewayError('BFF_RATE_LIMITED', { retryAfterMs: waitMs })
      invalid.count(client)
      if (!isInvalid) throw error
      log.warn({ event: 'logout.rejected', err: error })
      throw new GatewayError('BFF_LOGOUT_REJECTED', {
        details: 'The logout token is not valid',
        cause: error,
      })
    }
  }
}

/** Runs at most `max` calls at the same time; others wait in order. */
function createConcurrencyLimit(max: number): <T>(act: () => Promise<T>) => Promise<T> {
  let underWay = 0
  const waiting: (() => void)[] = []
  return async (act) => {
    if (underWay < max) underWay++
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await act()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else underWay--
    }
  }
}

/** The ended sessions as described by the notice, for the `onLogout` hook. */
function endedBy(notice: LogoutNotice): EndedSession {
  const { issuer } = notice
  return 'sid' in notice ? { issuer, sid: notice.sid } : { issuer, subject: notice.subject }
}

/** Key for the replay check of a logout token. */
function replayKey({ issuer, jti }: LogoutNotice, clientId: string): string {
  const hash = createHash('sha256').update(JSON.stringify([issuer, clientId, jti]))
  return `logout-token:${hash.digest('base64url')}`
}

function replayed(): GatewayError {
  return new GatewayError('BFF_LOGOUT_REJECTED', { details: 'The logout token has been used' })
}
