import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { asGatewayError, logError } from '../../plugins/errors/gateway-error.ts'
import { beginLogin } from './begin-login.ts'
import { rejectUnlessNavigation } from './navigation.ts'
import { type RouteOptions, silentLoginCallbackPath } from './options.ts'

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
    return postOutcomeToParent(reply, session !== null)
  })
}

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
    return postFailureToParent(request, reply, error)
  }
}

/** Answers a frame with a page that tells the page around it, if that is of this origin, whether somebody is logged in. */
export function postOutcomeToParent(reply: FastifyReply, isLoggedIn: boolean): FastifyReply {
  // Nothing in it comes from the request, so that the policy can name it by its hash.
  const script = `parent.postMessage({ source: 'bff-silent-login', isLoggedIn: ${isLoggedIn} }, location.origin)`
  const hash = createHash('sha256').update(script).digest('base64')
  return reply
    .header(
      'content-security-policy',
      `default-src 'none';script-src 'sha256-${hash}';frame-ancestors 'self'`,
    )
    .header('cache-control', 'no-store')
    .type('text/html; charset=utf-8')
    .send(`<!doctype html><title>Silent login</title><script>${script}</script>`)
}

/** The same of a login that went wrong: nobody reads in a frame, and the page around it waits for an answer. */
export function postFailureToParent(
  { log }: FastifyRequest,
  reply: FastifyReply,
  thrown: unknown,
): FastifyReply {
  const error = asGatewayError(thrown)
  if (error instanceof GatewayError) logError(log, error)
  return postOutcomeToParent(reply.code(error.statusCode), false)
}
