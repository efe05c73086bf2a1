import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { asGatewayError } from '../../plugins/errors/as-gateway-error.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { logError } from '../../plugins/errors/log-error.ts'

/** Answers a frame with a page that tells the page around it, if that is of this origin, whether somebody is logged in. */
export function tellParent(reply: FastifyReply, isLoggedIn: boolean): FastifyReply {
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
export function tellParentOfFailure(
  { log }: FastifyRequest,
  reply: FastifyReply,
  thrown: unknown,
): FastifyReply {
  const error = asGatewayError(thrown)
  if (error instanceof GatewayError) logError(log, error)
  return tellParent(reply.code(error.statusCode), false)
}
