import type { FastifyInstance, FastifyRequest } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { offerOnErrorPage } from '../../plugins/errors/index.ts'
import { isLong } from '../../plugins/login/kept-return-url.ts'
import { allowedReturnUrl } from '../../plugins/login/return-url.ts'
import { beginLogin } from './begin-login.ts'
import { countedClient, createClientTally } from './client-tally.ts'
import { rejectUnlessNavigation } from './navigation.ts'
import { homePath, type RouteOptions } from './options.ts'
import { answerErrorInFrame, beginSilentLogin, isInFrame } from './silent-login.ts'
import { createUnreadableCookieWarning } from './unreadable-cookie.ts'

type LoginRequest = FastifyRequest<{ Querystring: Record<string, unknown> }>

/** Starts a login at the issuer. */
export async function login(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const errorHandler = answerErrorInFrame(options, isSilentInFrame)
  const warnIfUnreadable = createUnreadableCookieWarning(app, options)
  const longReturnUrls = createClientTally(options.clock, options.longReturnUrlsPerMinute)
  app.get(
    '/bff/login',
    { config: { navigation: true }, exposeHeadRoute: false, errorHandler },
    async (request: LoginRequest, reply) => {
      rejectUnlessNavigation(request.headers)
      if (isSilentInFrame(request)) return beginSilentLogin(app, options, request, reply)
      const { returnUrl: wanted = homePath(options.publicUrl), ...query } = request.query
      const returnUrl = allowedReturnUrl(wanted, options)
      if (returnUrl === undefined) throw new GatewayError('BFF_INVALID_RETURN_URL')
      offerOnErrorPage(request, returnUrl)
      if (isLong(returnUrl)) limitLong(request)
      warnIfUnreadable(request)
      return beginLogin(app, options, request, reply, { returnUrl, query })
    },
  )

  /** Anyone can begin logins, and could fill the store with return URLs. */
  function limitLong(request: LoginRequest): void {
    const client = countedClient(request, app.browserCookies.sessionReference(request))
    longReturnUrls.check(client)
    longReturnUrls.count(client)
  }
}

/** A silent login as frontends for Duende BFF 4 start it. With a `returnUrl`, that page reports the outcome itself. */
function isSilentInFrame(request: FastifyRequest): boolean {
  const { prompt, returnUrl } = request.query as LoginRequest['query']
  return isInFrame(request) && prompt === 'none' && returnUrl === undefined
}
