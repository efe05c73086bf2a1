import type { FastifyInstance } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import requestGuard from '../../plugins/guard/index.ts'
import { answerHeaders } from './answer-headers.ts'
import { backchannelLogout } from './backchannel-logout.ts'
import { callback } from './callback.ts'
import { diagnostics } from './diagnostics.ts'
import { frontchannelLogout } from './frontchannel-logout.ts'
import { login } from './login.ts'
import { logout } from './logout.ts'
import type { RouteOptions } from './options.ts'
import { rateLimit } from './rate-limit.ts'
import { session } from './session.ts'
import { silentLogin } from './silent-login.ts'
import { user } from './user.ts'

/** Where browsers navigate to, from other sites too: each of these checks for itself who sent them. */
export async function navigations(app: FastifyInstance, options: RouteOptions): Promise<void> {
  sessionCookieFollows(app)
  await answerHeaders(app, options)
  await rateLimit(app, 'navigations', options)
  await login(app, options)
  await callback(app, options)
  await silentLogin(app, options)
  await logout(app, options)
  // Or a frontend's fallback would answer a mistyped endpoint with its page. CORS preflights are the guard's.
  const method = app.supportedMethods.filter((name) => name !== 'OPTIONS' || options.corsOrigins.length === 0)
  app.route({ method, url: '/bff/*', handler: notFound })
}

/** How the issuer says that a session has ended there. */
export async function logoutNotices(app: FastifyInstance, options: RouteOptions): Promise<void> {
  await answerHeaders(app, options)
  await rateLimit(app, 'logout-notices', options)
  await backchannelLogout(app, options)
  await frontchannelLogout(app, options)
}

/** What scripts of the frontend call, below `/bff`. What the guard refuses has the headers too: they come first. */
export async function sessionEndpoints(app: FastifyInstance, options: RouteOptions): Promise<void> {
  const { csrfHeader, publicUrl, corsOrigins } = options
  sessionCookieFollows(app)
  await answerHeaders(app, options)
  await app.register(requestGuard, { csrfHeader, publicUrl, corsOrigins })
  await user(app, options)
  await session(app, options)
  if (options.diagnostics) await diagnostics(app, options)
}

function sessionCookieFollows(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, sessionCookie: 'follows' }
  })
}

/** In the gateway's words, in an application with words of its own too. */
async function notFound(): Promise<never> {
  throw new GatewayError('BFF_NOT_FOUND')
}
