import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { ignoreBodies } from './body-parsers.ts'
import { endSession, endWithoutCookie } from './end-session.ts'
import { signedIn } from './signed-in.ts'

type ListRequest = FastifyRequest<{ Querystring: { slide?: string } }>
type OneRequest = FastifyRequest<{ Params: { id: string } }>

/**
 * The signed-in user's own sessions, in all browsers: to see them, and to end those that should not be. Never another
 * user's, nor those of the same user at another client or issuer.
 */
export async function sessions(app: FastifyInstance): Promise<void> {
  ignoreBodies(app)
  app.addHook('onRequest', async (_request, reply) => void reply.header('cache-control', 'no-store'))

  app.get('/sessions', async (request: ListRequest) => {
    const session = await signedIn(app, request, request.query.slide !== 'false')
    const all = await app.sessionList.of(session.record)
    return all.map((each) => app.sessionList.view(each, session.id))
  })

  app.delete('/sessions/:id', async (request: OneRequest, reply) => {
    const session = await signedIn(app, request, false)
    const wanted = await app.sessionList.find(session.record, request.params.id)
    if (!wanted)
      throw new GatewayError('BFF_NOT_FOUND', { details: 'You have no session with this identifier' })
    if (wanted.id === session.id) await endSession(app, request.log, session, 'logout')
    else await endWithoutCookie(app, request.log, session.record, [wanted], 'logout')
    return reply.code(204).send()
  })

  app.delete('/sessions', async (request) => {
    const session = await signedIn(app, request, false)
    const all = await app.sessionList.of(session.record)
    const others = all.filter(({ id }) => id !== session.id)
    return { ended: await endWithoutCookie(app, request.log, session.record, others, 'logout') }
  })
}
