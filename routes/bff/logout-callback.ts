import type { FastifyInstance, FastifyRequest } from 'fastify'
import { keptReturnUrl } from '../../plugins/login/kept-return-url.ts'
import { homePath, type RouteOptions } from './options.ts'

type CallbackRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/**
 * Where the issuer sends the browser after a logout: goes on to the `returnUrl` that the logout was given. The logout
 * is complete by then, and the destination was validated, so a forged call has no effect.
 */
export async function logoutCallback(app: FastifyInstance, { publicUrl }: RouteOptions): Promise<void> {
  app.get(
    '/bff/logout-callback',
    { config: { navigation: true }, exposeHeadRoute: false },
    async (request: CallbackRequest, reply) => {
      reply.header('cache-control', 'no-store')
      const { state } = request.query
      const logout = app.browserCookies.logout(request)
      // Some issuers don't return the state.
      if (!logout || (state !== undefined && state !== logout.state))
        return reply.redirect(homePath(publicUrl))
      app.browserCookies.clearLogout(reply)
      const returnUrl = await keptReturnUrl(app.sessionStore, logout.returnUrl)
      return reply.redirect(returnUrl ?? homePath(publicUrl))
    },
  )
}
