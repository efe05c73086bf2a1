import type { FastifyReply } from 'fastify'
import { basePath } from '../../config/index.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { CallbackRequest } from './callback-request.ts'
import type { RouteOptions } from './options.ts'
import { selfSubmittingForm, selfSubmittingFormHeaders } from './self-submitting-form.ts'

/** Of a form that was posted again by our own page. */
const postedAgain = 'bff_posted_again'

/** Larger than any URL could be: with a signed response or many claims. */
const maxBytes = 64 * 1024

/** More than any issuer sends. Each becomes an element of our page, so many short ones would make it far larger. */
const maxFields = 50

export const callbackFormOptions = { bodyLimit: maxBytes } as const

/**
 * Answers the issuer's form with a page that posts it once more, from our own origin. Browsers send Lax cookies with
 * navigations by GET only, so the issuer's POST comes without the login's cookie. Alternatives are worse: a cookie with
 * `SameSite=None` is sent with every request of other sites, and a redirect would put the code into the URL.
 *
 * @returns undefined if the form was posted by that page
 * @throws GatewayError BFF_INVALID_PARAMETER
 * @see https://openid.net/specs/oauth-v2-form-post-response-mode-1_0.html
 */
export function postAgain(
  { body }: CallbackRequest,
  reply: FastifyReply,
  { publicUrl, corsOrigins }: RouteOptions,
): FastifyReply | undefined {
  const fields = new URLSearchParams(body)
  if (fields.has(postedAgain)) return undefined
  if (fields.size > maxFields)
    throw new GatewayError('BFF_INVALID_PARAMETER', { details: 'The form has too many fields' })
  fields.set(postedAgain, '1')
  // A silent login is in a frame, maybe of a page on another origin, which X-Frame-Options can't express.
  if (corsOrigins.length > 0)
    reply.removeHeader('x-frame-options').removeHeader('cross-origin-resource-policy')
  return reply.headers(selfSubmittingFormHeaders(["'self'", ...corsOrigins].join(' '))).send(
    selfSubmittingForm({
      title: 'Logging in',
      action: `${basePath(publicUrl)}/bff/callback`,
      fields,
      button: 'Continue',
    }),
  )
}
