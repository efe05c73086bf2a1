import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { type Clock, systemClock } from './plugins/clock.ts'
import type { GatewayOptions } from './plugins/config/options.ts'
import draining from './plugins/draining/index.ts'
import errors from './plugins/errors/index.ts'
import frontend from './plugins/frontend/index.ts'
import { type LogStream, serverOptions } from './plugins/http-server/index.ts'
import issuer from './plugins/issuer/index.ts'
import limiting from './plugins/limits/index.ts'
import { defaultLimits, type Limits } from './plugins/limits/limits.ts'
import observability from './plugins/observability/index.ts'
import oidcSession from './plugins/oidc-session/index.ts'
import requestGuard from './plugins/request-guard/index.ts'
import sessionCookie from './plugins/session-cookie/index.ts'
import sessionStore from './plugins/session-store/index.ts'
import tls from './plugins/tls/index.ts'
import tokenRenewal from './plugins/token-renewal/index.ts'
import upstreamProxy from './plugins/upstream-proxy/index.ts'
import { logoutNotices, navigations, sessionEndpoints } from './routes/bff/index.ts'
import type { RouteOptions } from './routes/bff/options.ts'
import { basePath } from './routes/bff/paths.ts'
import { health } from './routes/health.ts'

export interface AppExtras {
  /** Routes of the application's own, behind the request guard: they call `app.requireSession` and the like. */
  localRoutes?: FastifyPluginAsync
  clock?: Clock
  /** Others than the usual ones. */
  limits?: Partial<Limits>
  /** Where log lines go. Unset: standard output. */
  logStream?: LogStream
}

/** The whole gateway, from top to bottom the way that a request takes. */
export function buildApp(options: GatewayOptions, extras: AppExtras = {}): FastifyInstance {
  const { publicUrl, oidc, session, cookie } = options
  const { clock = systemClock } = extras
  const loginUrl = `${basePath(publicUrl)}/bff/login`
  const limits = { ...defaultLimits, ...extras.limits }
  const routeOptions: RouteOptions = { ...options, clock, requestsPerMinute: limits.requestsPerMinute }
  const app = Fastify(serverOptions(options, loginUrl, limits, extras.logStream))

  app.register(errors, { loginUrl })
  app.register(limiting, limits)
  app.register(draining)
  if (options.tls) app.register(tls, { ...options.tls, clock })
  app.register(observability, { host: options.host, metricsPort: options.metricsPort })

  app.register(sessionStore, { redisUrl: options.redisUrl, clock })
  app.register(issuer, { ...oidc, clock })
  app.register(health)

  app.register(sessionCookie, { ...cookie, ...session, secure: publicUrl.protocol === 'https:' })
  app.register(oidcSession, { ...session, clock })
  app.register(tokenRenewal, {
    refreshBeforeExpirationMs: options.refreshBeforeExpirationMs,
    issuerTimeoutMs: oidc.timeoutMs,
    clock,
  })

  app.register(async (scope) => navigations(scope, routeOptions))
  app.register(async (scope) => logoutNotices(scope, routeOptions))
  app.register(async (scope) => guarded(scope, routeOptions, extras))
  if (options.staticDir !== undefined) {
    app.register(frontend, { staticDir: options.staticDir, https: publicUrl.protocol === 'https:' })
  }
  return app
}

/** For scripts of the frontend alone: whatever is registered here, other sites can't make a browser call. */
async function guarded(
  app: FastifyInstance,
  options: RouteOptions,
  { localRoutes }: AppExtras,
): Promise<void> {
  const { csrfHeader, publicUrl, corsOrigins } = options
  await app.register(requestGuard, { csrfHeader, ownOrigin: publicUrl.origin, corsOrigins })

  app.register(async (scope) => sessionEndpoints(scope, options))
  for (const upstream of options.upstreams) {
    app.register(upstreamProxy, {
      upstream,
      csrfHeader,
      basePath: basePath(publicUrl),
      sessionCookie: options.cookie.name,
    })
  }
  if (localRoutes) app.register(localRoutes)
}
