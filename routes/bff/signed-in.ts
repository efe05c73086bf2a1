import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { Session } from '../../plugins/session/session.ts'

/**
 * The session of a request to an endpoint that needs one.
 * @param slide whether the request extends the idle timeout
 * @throws GatewayError BFF_SESSION_REQUIRED
 */
export async function signedIn(
  app: FastifyInstance,
  request: FastifyRequest,
  slide: boolean,
): Promise<Session> {
  const session = await app.findSession(request, { slide })
  if (!session) throw new GatewayError('BFF_SESSION_REQUIRED')
  return session
}
