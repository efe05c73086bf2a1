import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { hashSource } from '../../http/html.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { asGatewayError, logError } from '../../plugins/errors/gateway-error.ts'
import { beginLogin } from './begin-login.ts'
import { rejectUnlessNavigation } from './navigation.ts'
import { type RouteOptions, silentLoginCallbackPath } from './options.ts'
import { ownOrigin, type ParentOrigin, parentOrigins } from './parent-origins.ts'

type SilentRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/**
 * Silent login, in a frame: reports to the parent page whether the user is or could be logged in without interaction.
 */
export async function silentLogin(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const errorHandler = answerErrorInFrame(options)
  app.get(
    '/bff/silent-login',
    { exposeHeadRoute: false, errorHandler },
    async (request: SilentRequest, reply) => {
      rejectUnlessNavigation(request.headers)
      return beginSilentLogin(app, options, request, reply)
    },
  )

  /** For frames that load this page directly: reports whether there is a session, without extending it. */
  app.get('/bff/silent-login-callback', { exposeHeadRoute: false, errorHandler }, async (request, reply) => {
    const session = await app.findSession(request, { slide: false, proof: 'optional' })
    return postOutcomeToParent(reply, session !== null, parentOrigins(request, options), options)
  })
}

/**
 * Logs in without interaction, in a frame of the frontend's page, if the user is signed in at the issuer. The parent
 * page gets the outcome as a message, as from Duende BFF: `{ source: 'bff-silent-login', isLoggedIn }`. The callback
 * sends it without a further redirect: the cookie it has just set would not be sent in a navigation that began at
 * another site.
 *
 * @throws GatewayError BFF_CSRF_REJECTED and others, see {@link answerErrorInFrame}
 */
export async function beginSilentLogin(
  app: FastifyInstance,
  options: RouteOptions,
  request: SilentRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const query = { ...request.query, prompt: 'none' }
  return beginLogin(app, options, request, reply, {
    returnUrl: silentLoginCallbackPath(options.publicUrl),
    query,
  })
}

/** Sends a page whose script posts the outcome to the parent page, if its origin is one of `origins`. */
export function postOutcomeToParent(
  reply: FastifyReply,
  isLoggedIn: boolean,
  origins: ParentOrigin[],
  { publicUrl }: RouteOptions,
): FastifyReply {
  const targets = origins.map((origin) => (origin === ownOrigin ? 'location.origin' : JSON.stringify(origin)))
  // When the page around it is reloaded, Firefox loads the frame's last URL again: a callback works only once.
  // Contains nothing from the request, so its hash in the policy is safe.
  const script = `history.replaceState(null, '', ${JSON.stringify(silentLoginCallbackPath(publicUrl))})
for (const origin of [${targets.join()}]) parent.postMessage({ source: 'bff-silent-login', isLoggedIn: ${isLoggedIn} }, origin)`
  const ancestors = origins.map((origin) => (origin === ownOrigin ? "'self'" : origin))
  if (origins.some((origin) => origin !== ownOrigin)) {
    // Neither header can allow a specific other origin.
    reply.removeHeader('x-frame-options').removeHeader('cross-origin-resource-policy')
  }
  return reply
    .header(
      'content-security-policy',
      `default-src 'none';script-src ${hashSource(script)};frame-ancestors ${ancestors.join(' ')}`,
    )
    .header('cache-control', 'no-store')
    .type('text/html; charset=utf-8')
    .send(`<!doctype html><title>Silent login</title><script>${script}</script>`)
}

/** Posts a failure: an error page in a frame would not be seen, and the parent page waits for the outcome. */
export function postFailureToParent(
  request: FastifyRequest,
  reply: FastifyReply,
  thrown: unknown,
  origins: ParentOrigin[],
  options: RouteOptions,
): FastifyReply {
  const error = asGatewayError(thrown)
  if (error instanceof GatewayError) logError(request.log, error, request)
  return postOutcomeToParent(reply.code(error.statusCode), false, origins, options)
}

/**
 * An error handler for routes that are loaded in frames, also for errors before their handler, such as a rate limit.
 * Foreign pages and scripts get the error itself.
 *
 * @param isAwaited whether a page may wait for the outcome of a request
 */
export function answerErrorInFrame(options: RouteOptions, isAwaited = mayBeInFrame) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (error.code === 'BFF_CSRF_REJECTED' || !isAwaited(request)) throw error
    return postFailureToParent(request, reply, error, parentOrigins(request, options), options)
  }
}

export function isInFrame({ headers }: FastifyRequest): boolean {
  return ['iframe', 'frame'].includes(String(headers['sec-fetch-dest']))
}

/** Browsers send Fetch Metadata only to https and loopback. */
function mayBeInFrame(request: FastifyRequest): boolean {
  return request.headers['sec-fetch-mode'] === undefined || isInFrame(request)
}
