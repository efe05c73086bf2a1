import type { FastifyInstance, FastifyRequest } from 'fastify'
import { batches } from '../../lib/batches.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { logEnding } from '../../plugins/session/events/session-events.ts'
import { sessionHash } from '../../plugins/session/session.ts'
import type { ListedSession } from '../../plugins/session-store/store.ts'
import { endedAtATime } from '../bff/end-session.ts'
import type { Administered } from './index.ts'
import type { AdminSessionsOptions } from './sessions.ts'

type EndAllRequest = FastifyRequest<{ Body: unknown }>

/** Ends the sessions of all users, at all gateways of this process. */
export async function endAllSessions(
  server: FastifyInstance,
  { gateways, log }: AdminSessionsOptions,
): Promise<void> {
  server.post(
    '/sessions/end-all',
    { config: { adminEvent: 'admin.sessions.end_all' } },
    async (request: EndAllRequest) => {
      const { body } = request
      const isConfirmed =
        typeof body === 'object' && body !== null && 'confirm' in body && body.confirm === true
      if (!isConfirmed) {
        throw new GatewayError('BFF_INVALID_PARAMETER', {
          details: 'This ends the sessions of all users: confirm it by the body {"confirm": true}',
        })
      }
      const ended = await endAll()
      request.adminCall['sessions'] = ended
      return { ended }
    },
  )

  /** Batch by batch, so that other requests are served meanwhile. @returns how many have ended */
  async function endAll(): Promise<number> {
    const ended = new Map<Administered, number>()
    try {
      const [first] = gateways
      if (!first) return 0
      for await (const batch of first.app.sessionStore.listAll()) {
        for (const some of batches(batch, endedAtATime))
          await Promise.all(some.map((session) => endOwn(session, ended)))
      }
    } finally {
      // If the store fails in between, too.
      for (const [gateway, sessions] of ended) {
        const issuer = await issuerOf(gateway)
        gateway.app.metrics.sessionEnded('admin', sessions)
        gateway.app.sessionEvents.ended({ issuer }, 'admin')
      }
    }
    return [...ended.values()].reduce((sum, count) => sum + count, 0)
  }

  async function endOwn(session: ListedSession, ended: Map<Administered, number>): Promise<void> {
    const gateway = gateways.find(({ app }) => app.sessionList.isOwn(session))
    if (!gateway || !(await gateway.app.sessionStore.destroy(session.id, undefined, 'admin'))) return
    ended.set(gateway, (ended.get(gateway) ?? 0) + 1)
    logEnding(log, 'admin', { sessionHash: sessionHash(session) })
  }
}

/** Sessions can be ended while the issuer is down. */
export async function issuerOf({ app, issuerUrl }: Administered): Promise<string> {
  return app.issuer.isKnown() ? app.issuer.identifier() : issuerUrl.href
}
