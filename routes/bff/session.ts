import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isoTime, secondsBetween } from '../../lib/clock.ts'
import { claimList } from '../../plugins/session/claims.ts'
import type { Session } from '../../plugins/session/session.ts'
import { displayName } from '../../plugins/session/session-record.ts'
import { ignoreBodies } from './body-parsers.ts'
import type { RouteOptions } from './options.ts'

type SessionRequest = FastifyRequest<{ Querystring: { slide?: string } }>

/** The session's data, without its tokens. */
export async function session(app: FastifyInstance, { clock }: RouteOptions): Promise<void> {
  ignoreBodies(app)

  app.route({
    method: ['GET', 'POST'],
    url: '/session',
    async handler(request: SessionRequest, reply) {
      reply.header('cache-control', 'no-store')
      const session = await app.findSession(request, { slide: request.query.slide !== 'false' })
      if (!session) return { isAuthenticated: false, message: 'Not signed in' }
      app.deviceBinding.offerAgain(request, reply, session)
      return sessionView(session, clock.now())
    },
  })
}

/** What a page may know of its session. */
export function sessionView({ record, expiresAt }: Session, now: number) {
  const { tokenSet, renewedAt, renewals } = record
  return {
    isAuthenticated: true,
    timestamp: isoTime(now),
    claims: claimList(record.claims),
    identity: { isAuthenticated: true, name: displayName(record), authenticationType: 'oidc' },
    cookieLifetime: {
      issuedUtc: isoTime(record.createdAt),
      expiresUtc: isoTime(expiresAt),
      remainingTime: secondsBetween(now, expiresAt),
    },
    accessToken: {
      expiresUtc: isoTime(tokenSet.expiresAt),
      expiresIn: tokenSet.expiresAt === undefined ? null : secondsBetween(now, tokenSet.expiresAt),
      renewedUtc: isoTime(renewedAt),
      renewals,
      scope: tokenSet.scope ?? null,
      tokenType: tokenSet.tokenType,
    },
    sid: record.sid,
    bound: record.device !== undefined,
  }
}
