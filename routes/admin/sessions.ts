import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { hashForLog } from '../../plugins/logging/logger.ts'
import { sessionHash } from '../../plugins/session/session.ts'
import type { UserSession } from '../../plugins/session/session-list.ts'
import { ignoreBodies } from '../bff/body-parsers.ts'
import { endWithoutCookie } from '../bff/end-session.ts'
import { issuerOf } from './end-all.ts'
import type { Administered } from './index.ts'

export interface AdminSessionsOptions {
  gateways: readonly Administered[]
  log: FastifyBaseLogger
}

type UserRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>
type OneRequest = FastifyRequest<{ Params: { id: string } }>

/** A user's sessions at one gateway. */
interface Found {
  gateway: Administered
  issuer: string
  sessions: UserSession[]
}

/** Lists and ends sessions of any user, at all gateways of this process. */
export async function sessions(
  server: FastifyInstance,
  { gateways, log }: AdminSessionsOptions,
): Promise<void> {
  ignoreBodies(server)
  server.get('/sessions', { config: { adminEvent: 'admin.sessions.list' } }, async (request: UserRequest) => {
    const { found } = await findUser(request)
    const listed = found.flatMap(({ gateway: { app, publicUrl }, sessions }) =>
      sessions.map((session) => ({
        ...app.sessionList.view(session),
        ...(gateways.length > 1 && { frontend: publicUrl.href }),
      })),
    )
    request.adminCall['sessions'] = listed.length
    return listed
  })

  server.delete(
    '/sessions',
    { config: { adminEvent: 'admin.sessions.end' } },
    async (request: UserRequest) => {
      const { subject, found } = await findUser(request)
      let ended = 0
      for (const { gateway, issuer, sessions } of found)
        ended += await endWithoutCookie(gateway.app, log, { issuer, subject }, sessions, 'admin')
      request.adminCall['sessions'] = ended
      return { ended }
    },
  )

  server.delete(
    '/sessions/:id',
    { config: { adminEvent: 'admin.session.end' } },
    async (request: OneRequest, reply) => {
      for (const gateway of gateways) {
        const { app } = gateway
        const id = app.sessionList.storeId(request.params.id)
        if (id === undefined) continue
        const fields = { sessionHash: sessionHash({ id }) }
        Object.assign(request.adminCall, fields)
        if (!(await app.sessionStore.destroy(id, undefined, 'admin'))) break
        app.reportUnreadEndings({ issuer: await issuerOf(gateway) }, 'admin', log, [id], {})
        return reply.code(204).send()
      }
      throw new GatewayError('BFF_NOT_FOUND', { details: 'There is no session with this identifier' })
    },
  )

  async function findUser(request: UserRequest): Promise<{ subject: string; found: Found[] }> {
    const { sub: subject, iss } = request.query
    if (typeof subject !== 'string' || subject === '' || (iss !== undefined && typeof iss !== 'string')) {
      throw new GatewayError('BFF_INVALID_PARAMETER', {
        details: 'Name one user: ?sub=…, and if needed &iss=…',
      })
    }
    request.adminCall['sub'] = hashForLog(subject)
    const found: Found[] = []
    const seen = new Set<string>()
    for (const gateway of gateways) {
      const issuer = iss ?? (await issuerOf(gateway))
      const all = await gateway.app.sessionList.of({ issuer, subject })
      // Frontends with the same issuer and client share their users.
      const sessions = all.filter(({ id }) => !seen.has(id))
      for (const { id } of sessions) seen.add(id)
      found.push({ gateway, issuer, sessions })
    }
    return { subject, found }
  }
}
