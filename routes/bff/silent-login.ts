import type { FastifyInstance, FastifyRequest } from 'fastify'
import { beginSilentLogin } from './begin-silent-login.ts'
import { rejectUnlessNavigation } from './navigation.ts'
import type { RouteOptions } from './options.ts'
import { tellParent } from './tell-parent.ts'

type SilentRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/** Whether somebody is logged in, or can be without being asked: for a frame, whose page hears the outcome. */
export async function silentLogin(app: FastifyInstance, options: RouteOptions): Promise<void> {
  app.get('/bff/silent-login', { exposeHeadRoute: false }, async (request: SilentRequest, reply) => {
    rejectUnlessNavigation(request.headers)
    return beginSilentLogin(app, options, request, reply)
  })

  /** For a frame that comes here by itself: whether there is a session, which this does not prolong. */
  app.get('/bff/silent-login-callback', { exposeHeadRoute: false }, async (request, reply) => {
    const session = await app.openSession(request, { slide: false })
    return tellParent(reply, session !== null)
  })
}
