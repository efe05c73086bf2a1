import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { beginLogin } from './begin-login.ts'
import type { RouteOptions } from './options.ts'
import { silentLoginCallbackPath } from './paths.ts'
import { tellParentOfFailure } from './tell-parent.ts'

type SilentRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/**
 * Logs in without showing anything, in a frame of the frontend's page, if the issuer knows the user already. That page
 * gets the outcome as a message, as from Duende BFF: `{ source: 'bff-silent-login', isLoggedIn }`. The callback sends
 * it, since the cookie that it has just set does not come along on a way that began at another site.
 *
 * @throws GatewayError BFF_CSRF_REJECTED
 */
export async function beginSilentLogin(
  app: FastifyInstance,
  options: RouteOptions,
  request: SilentRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  // Nobody else has a use for it: only a page of this origin hears the outcome.
  if (request.headers['sec-fetch-site'] === 'cross-site') {
    throw new GatewayError('BFF_CSRF_REJECTED', { details: 'The request comes from a foreign origin' })
  }
  try {
    const returnUrl = silentLoginCallbackPath(options.publicUrl)
    const query = { ...request.query, prompt: 'none' }
    return await beginLogin(app, options, request, reply, { returnUrl, query })
  } catch (error) {
    return tellParentOfFailure(request, reply, error)
  }
}
