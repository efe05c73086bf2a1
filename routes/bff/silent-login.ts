import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { asGatewayError, logError } from '../../plugins/errors/gateway-error.ts'
import { beginLogin } from './begin-login.ts'
import { rejectUnlessNavigation } from './navigation.ts'
import { type RouteOptions, silentLoginCallbackPath } from './options.ts'

type SilentRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/**
 * Silent login, in a frame: reports to the parent page whether the user is or could be logged in without interaction.
 */
export async function silentLogin(app: FastifyInstance, options: RouteOptions): Promise<void> {
  app.get('/bff/silent-login', { exposeHeadRoute: false }, async (request: SilentRequest, reply) => {
    rejectUnlessNavigation(request.headers)
    return beginSilentLogin(app, options, request, reply)
  })

  /** For frames that load this page directly: reports whether there is a session, without extending it. */
  app.get('/bff/silent-login-callback', { exposeHeadRoute: false }, async (request, reply) => {
    const session = await app.openSession(request, { slide: false })
    return postOutcomeToParent(reply, session !== null)
  })
}

/**
 * Logs in without interaction, in a frame of the frontend's page, if the user is signed in at the issuer. The parent
 * page gets the outcome as a message, as from Duende BFF: `{ source: 'bff-silent-login', isLoggedIn }`. The callback
 * sends it without a further redirect: the cookie it has just set would not be sent in a navigation that began at
 * another site.
 *
 * @throws GatewayError BFF_CSRF_REJECTED
 */
export async function beginSilentLogin(
  app: FastifyInstance,
  options: RouteOptions,
  request: SilentRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  // Useless for other sites: only a page of this origin receives the outcome.
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

/** Sends a page whose script posts the outcome to the parent page, if that is of the same origin. */
export function postOutcomeToParent(reply: FastifyReply, isLoggedIn: boolean): FastifyReply {
  // Contains nothing from the request, so its hash in the policy is safe.
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

/** Posts a failure: an error page in a frame would not be seen, and the parent page waits for the outcome. */
export function postFailureToParent(
  { log }: FastifyRequest,
  reply: FastifyReply,
  thrown: unknown,
): FastifyReply {
  const error = asGatewayError(thrown)
  if (error instanceof GatewayError) logError(log, error)
  return postOutcomeToParent(reply.code(error.statusCode), false)
}
