import type { FastifyInstance } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { answerHeaders } from './answer-headers.ts'
import { backchannelLogout } from './backchannel-logout.ts'
import { callback } from './callback.ts'
import { frontchannelLogout } from './frontchannel-logout.ts'
import { login } from './login.ts'
import { logout } from './logout.ts'
import type { RouteOptions } from './options.ts'
import { rateLimit } from './rate-limit.ts'
import { session } from './session.ts'
import { user } from './user.ts'

/** Where browsers navigate to, from other sites too: each of these checks for itself who sent them. */
export async function navigations(app: FastifyInstance, options: RouteOptions): Promise<void> {
  await answerHeaders(app, options)
  await rateLimit(app, options)
  await login(app, options)
  await callback(app, options)
  await logout(app, options)
  // Or a frontend's fallback would answer a mistyped endpoint with its page. CORS preflights are the guard's.
  const method = app.supportedMethods.filter((name) => name !== 'OPTIONS')
  app.route({ method, url: '/bff/*', handler: notFound })
}

/** How the issuer says that a session has ended there. */
export async function logoutNotices(app: FastifyInstance, options: RouteOptions): Promise<void> {
  await answerHeaders(app, options)
  await rateLimit(app, options)
  await backchannelLogout(app)
  await frontchannelLogout(app, options)
}

/** What scripts of the frontend call. */
export async function sessionEndpoints(app: FastifyInstance, options: RouteOptions): Promise<void> {
  await answerHeaders(app, options)
  await user(app, options)
  await session(app, options)
}

/** In the gateway's words, in an application with words of its own too. */
async function notFound(): Promise<never> {
  throw new GatewayError('BFF_NOT_FOUND')
}
