import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { keepReturnUrl } from '../../plugins/login/kept-return-url.ts'
import { allowedReturnUrl } from '../../plugins/login/return-url.ts'
import type { Session } from '../../plugins/session/session.ts'
import { isReplaced } from '../../plugins/session/superseded-session.ts'
import { endSession } from './end-session.ts'
import { isByServiceWorker, isPersonsNavigation } from './navigation.ts'
import { homePath, logoutCallbackUrl, type RouteOptions } from './options.ts'
import { selfSubmittingForm, selfSubmittingFormHeaders } from './self-submitting-form.ts'

type LogoutRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/** Longest URL for the redirect to the issuer. Behind nginx with its defaults, headers of more than 4 KB are a 502. */
const maxUrlLength = 4000

/** Ends the session here, then at the issuer, which sends the browser to `/bff/logout-callback`. */
export async function logout(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { publicUrl } = options
  app.get(
    '/bff/logout',
    { config: { navigation: true }, exposeHeadRoute: false },
    async (request: LogoutRequest, reply) => {
      reply.header('cache-control', 'no-store')
      if (!isPersonsNavigation(request.headers)) {
        throw new GatewayError('BFF_LOGOUT_REJECTED', { details: 'Only a navigation to this page logs out' })
      }
      const returnUrl = allowedReturnUrl(request.query['returnUrl'] ?? homePath(publicUrl), options)
      if (returnUrl === undefined) throw new GatewayError('BFF_INVALID_RETURN_URL')

      const session = await app.findSession(request, { slide: false, proof: 'optional' })
      if (session && !isIntended(request, session)) throw new GatewayError('BFF_LOGOUT_REJECTED')
      // The ID token is for the device that the session is bound to. Without it the issuer may ask the user to confirm.
      const hasProof = session !== null && app.deviceBinding.hasProof(request, session)
      const ended = session ? await endSession(app, request.log, session, 'logout') : undefined
      if (session && !(await hasNewerSession(request))) app.browserCookies.clearSession(request)
      if (session) app.deviceBinding.clearProof(request, reply)
      // The cache may contain the user's API responses. A link on another site must not be able to clear it.
      if (session || request.headers['sec-fetch-site'] !== 'cross-site')
        reply.header('clear-site-data', '"cache"')

      if (!ended) return reply.redirect(returnUrl)
      const { idToken } = ended.record.tokenSet
      const state = randomBytes(16).toString('base64url')
      const url = app.issuer.endSessionUrl({
        postLogoutRedirectUri: logoutCallbackUrl(publicUrl),
        state,
        ...(idToken !== undefined && hasProof && { idToken }),
      })
      if (!url) {
        app.browserCookies.setLoggedOutHere(reply)
        return reply.redirect(returnUrl)
      }
      app.browserCookies.setLogout(reply, { state, returnUrl: await keepForLogout(returnUrl) })
      if (url.href.length <= maxUrlLength) return reply.redirect(url.href)
      return reply.headers(logoutFormHeaders).send(logoutForm(url))
    },
  )

  /** The session has ended already, so the logout goes on without the store. */
  async function keepForLogout(returnUrl: string): Promise<string> {
    return keepReturnUrl(app.sessionStore, returnUrl).catch(() => homePath(publicUrl))
  }

  /** Whether the user has logged in again in another tab while the token was being revoked. */
  async function hasNewerSession(request: LogoutRequest): Promise<boolean> {
    const reference = app.browserCookies.sessionReference(request)
    return reference !== undefined && isReplaced(app.sessionStore, reference).catch(() => false)
  }
}

/** Prevents logout CSRF: requires the session's `sid`, or Fetch Metadata that show that no other site began it. */
function isIntended({ query, headers }: LogoutRequest, { record }: Session): boolean {
  if (query['sid'] === record.sid) return true
  const site = headers['sec-fetch-site']
  return (site === 'same-origin' || site === 'none') && !isByServiceWorker(headers)
}

/**
 * A page that sends the parameters of an end session request as a form: with a long `id_token_hint` the URL would be
 * refused by proxies and issuers. Issuers must accept both.
 *
 * @see https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout
 */
function logoutForm({ origin, pathname, searchParams }: URL): string {
  return selfSubmittingForm({
    title: 'Logging out',
    action: origin + pathname,
    fields: searchParams,
    button: 'Log out',
  })
}

const logoutFormHeaders = selfSubmittingFormHeaders("'none'")
