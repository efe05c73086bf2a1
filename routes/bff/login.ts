import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { authorizationParameters } from '../../plugins/oidc-session/authorization-parameters.ts'
import { beginTransaction } from '../../plugins/oidc-session/login-transaction.ts'
import { localPath } from '../../plugins/oidc-session/return-url.ts'
import type { RouteOptions } from './options.ts'
import { callbackUrl, homePath } from './paths.ts'

type LoginRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/** Sends the browser to the issuer: authorization code flow with PKCE, `state` and `nonce`. */
export async function login(app: FastifyInstance, { publicUrl, oidc, clock }: RouteOptions): Promise<void> {
  app.get(
    '/bff/login',
    { config: { navigation: true }, exposeHeadRoute: false },
    async (request: LoginRequest, reply) => {
      const { returnUrl: wanted = homePath(publicUrl), ...query } = request.query
      const returnUrl = localPath(wanted, publicUrl.origin)
      if (returnUrl === undefined) throw new GatewayError('BFF_INVALID_RETURN_URL')

      const parameters = new URLSearchParams(oidc.authorizationParams)
      for (const [name, value] of authorizationParameters(query)) parameters.set(name, value)
      const maxAge = parameters.get('max_age')
      const transaction = beginTransaction(
        {
          returnUrl,
          silent: parameters.get('prompt') === 'none',
          ...(maxAge !== null && { maxAgeSeconds: Number(maxAge) }),
        },
        clock.now(),
      )
      const url = await app.issuer.authorizationUrl({
        ...transaction,
        redirectUri: callbackUrl(publicUrl),
        scope: oidc.scope,
        parameters,
      })
      app.browserCookies.setTransaction(request, reply, transaction)
      return reply.header('cache-control', 'no-store').redirect(url.href)
    },
  )
}
