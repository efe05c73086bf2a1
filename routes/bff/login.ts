import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { localPath } from '../../plugins/login/return-url.ts'
import { beginLogin } from './begin-login.ts'
import { rejectUnlessNavigation } from './navigation.ts'
import { homePath, type RouteOptions } from './options.ts'
import { beginSilentLogin } from './silent-login.ts'

type LoginRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/** Starts a login at the issuer. */
export async function login(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { publicUrl } = options

  app.get(
    '/bff/login',
    { config: { navigation: true }, exposeHeadRoute: false },
    async (request: LoginRequest, reply) => {
      rejectUnlessNavigation(request.headers)
      if (isSilentInFrame(request)) return beginSilentLogin(app, options, request, reply)
      const { returnUrl: wanted = homePath(publicUrl), ...query } = request.query
      const returnUrl = localPath(wanted, publicUrl.origin)
      if (returnUrl === undefined) throw new GatewayError('BFF_INVALID_RETURN_URL')
      return beginLogin(app, options, request, reply, { returnUrl, query })
    },
  )
}

/** A silent login as frontends for Duende BFF 4 start it. With a `returnUrl`, that page reports the outcome itself. */
function isSilentInFrame({ headers, query }: LoginRequest): boolean {
  return (
    headers['sec-fetch-dest'] === 'iframe' && query['prompt'] === 'none' && query['returnUrl'] === undefined
  )
}
