import type { FastifyInstance, FastifyRequest } from 'fastify'
import { basePath } from '../../config/index.ts'
import { claimList } from '../../plugins/session/claims.ts'
import type { RouteOptions } from './options.ts'
import { signedIn } from './signed-in.ts'

type UserRequest = FastifyRequest<{ Querystring: { slide?: string } }>

/** The user's claims, in the format of Duende BFF. */
export async function user(app: FastifyInstance, { publicUrl, clock }: RouteOptions): Promise<void> {
  app.get('/user', async (request: UserRequest, reply) => {
    reply.header('cache-control', 'no-store')
    const session = await signedIn(app, request, request.query.slide !== 'false')
    app.deviceBinding.offerAgain(request, reply, session)

    const { claims, sid, sessionState } = session.record
    const logoutUrl = `${basePath(publicUrl)}/bff/logout?sid=${encodeURIComponent(sid)}`
    const secondsLeft = Math.floor((session.expiresAt - clock.now()) / 1000)
    return [
      ...claimList(claims),
      { type: 'bff:logout_url', value: logoutUrl },
      { type: 'bff:session_expires_in', value: secondsLeft },
      ...(sessionState === undefined ? [] : [{ type: 'bff:session_state', value: sessionState }]),
    ]
  })
}
