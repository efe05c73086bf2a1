import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { errorCodeOf } from '../../plugins/errors/index.ts'
import requestGuard from '../../plugins/guard/index.ts'
import { answerHeaders } from './answer-headers.ts'
import { backchannelLogout } from './backchannel-logout.ts'
import { callback } from './callback.ts'
import { deviceBound } from './device-bound.ts'
import { diagnostics } from './diagnostics.ts'
import { events } from './events.ts'
import { frontchannelLogout } from './frontchannel-logout.ts'
import { login } from './login.ts'
import { logout } from './logout.ts'
import { logoutCallback } from './logout-callback.ts'
import type { RouteOptions } from './options.ts'
import { rateLimit } from './rate-limit.ts'
import { session } from './session.ts'
import { sessions } from './sessions.ts'
import { silentLogin } from './silent-login.ts'
import { user } from './user.ts'

/** All endpoints below `/bff`, each a plugin with its own scope. */
export const bffRoutes: FastifyPluginAsync<RouteOptions> = async (app, options) => {
  const methods = collectMethods(app)
  app.register(navigations, { ...options, methods })
  app.register(logoutNotices, options)
  app.register(deviceBindings, options)
  app.register((scope) => sessionEndpoints(scope, options), { prefix: '/bff' })
}

interface NavigationOptions extends RouteOptions {
  /** Methods of each endpoint, by its path. */
  methods: ReadonlyMap<string, readonly string[]>
}

/** Endpoints for navigations, from other sites too: each checks the request's origin itself. */
async function navigations(app: FastifyInstance, { methods, ...options }: NavigationOptions): Promise<void> {
  updateSessionCookie(app)
  await answerHeaders(app, options)
  await rateLimit(app, 'navigations', options)
  for (const route of [login, callback, silentLogin, logout, logoutCallback]) app.register(route, options)
  // Otherwise a frontend's fallback would answer a mistyped endpoint with its page. The guard handles CORS preflights.
  const method = app.supportedMethods.filter((name) => name !== 'OPTIONS' || options.corsOrigins.length === 0)
  app.route({
    method,
    url: '/bff/*',
    async handler({ url }, reply) {
      const allowed = methods.get(url.split('?', 1)[0] ?? '')
      if (!allowed) throw new GatewayError('BFF_NOT_FOUND')
      reply.header('allow', allowed.join(', '))
      throw new GatewayError('BFF_METHOD_NOT_ALLOWED')
    },
  })
}

/** Logout notices of the issuer. */
async function logoutNotices(app: FastifyInstance, options: RouteOptions): Promise<void> {
  await answerHeaders(app, options)
  await rateLimit(app, 'logout-notices', options)
  for (const route of [backchannelLogout, frontchannelLogout]) app.register(route, options)
}

/** Endpoints that browsers themselves call, to bind a session to their device. */
async function deviceBindings(app: FastifyInstance, options: RouteOptions): Promise<void> {
  await answerHeaders(app, options)
  await rateLimit(app, 'device-bound', options)
  await app.register(deviceBound, options)
}

/**
 * Endpoints for the frontend's scripts. The headers are registered first, so that the guard's rejections have them,
 * too.
 */
async function sessionEndpoints(app: FastifyInstance, options: RouteOptions): Promise<void> {
  updateSessionCookie(app)
  await answerHeaders(app, options)
  await app.register(requestGuard, options)
  app.addHook('onSend', async (request, reply, payload) => {
    // One that is not valid here, after a change of clocks or keys: the browser gets a new one only if it has none.
    if (errorCodeOf(request) === 'BFF_SESSION_NOT_BOUND') app.deviceBinding.clearProof(request, reply)
    return payload
  })
  for (const route of [user, session, sessions, events]) app.register(route, options)
  if (options.diagnostics) app.register(diagnostics, options)
}

function updateSessionCookie(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, sessionCookieUpdates: 'always' }
  })
}

/** @returns the methods of each route registered from now on, in this scope or below, by path */
function collectMethods(app: FastifyInstance): ReadonlyMap<string, readonly string[]> {
  const methods = new Map<string, string[]>()
  app.addHook('onRoute', ({ url, method }) => {
    if (!url.endsWith('*')) methods.set(url, [...(methods.get(url) ?? []), ...[method].flat()])
  })
  return methods
}
