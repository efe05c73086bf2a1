import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import Fastify, {
  type FastifyHttpOptions,
  type FastifyInstance,
  type FastifyPluginAsync,
  LogController,
} from 'fastify'
import { type Clock, systemClock } from './plugins/clock.ts'
import type { GatewayOptions } from './plugins/config/options.ts'
import draining from './plugins/draining/index.ts'
import errors, { answerBadUrl, answerMalformed } from './plugins/errors/index.ts'
import frontend from './plugins/frontend/index.ts'
import issuer from './plugins/issuer/index.ts'
import limiting from './plugins/limits/index.ts'
import {
  defaultLimits,
  keepAliveTimeoutMs,
  type Limits,
  maxBodyBytes,
  maxHeaderBytes,
} from './plugins/limits/limits.ts'
import { loggerOptions } from './plugins/logging/logger-options.ts'
import observability from './plugins/observability/index.ts'
import oidcSession from './plugins/oidc-session/index.ts'
import requestGuard from './plugins/request-guard/index.ts'
import { isWebSocketUpgrade } from './plugins/request-guard/origin.ts'
import sessionCookie from './plugins/session-cookie/index.ts'
import sessionStore from './plugins/session-store/index.ts'
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

export interface LogStream {
  write(line: string): void
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

function serverOptions(
  { publicUrl, trustProxy, logLevel }: GatewayOptions,
  loginUrl: string,
  { headersTimeoutMs }: Limits,
  logStream?: LogStream,
): FastifyHttpOptions<Server> {
  const base = basePath(publicUrl)
  return {
    logger: { ...loggerOptions(logLevel), ...(logStream && { stream: logStream }) },
    // Its lines hold whole URLs, and with them authorization codes.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    // Fastify itself takes a number for distrust, since whoever reaches it directly can claim any number of hops.
    trustProxy: typeof trustProxy === 'number' ? (_address, hop) => hop < trustProxy : trustProxy,
    // A URL that can't be routed reaches no error handler.
    frameworkErrors: answerBadUrl(loginUrl),
    // Nor does what is no HTTP.
    clientErrorHandler: answerMalformed,
    // Proxies in front differ in whether they take the base path away.
    rewriteUrl: ({ url = '/' }) => withoutBase(url, base),
    // Requests on connections that are still open when closing begins are answered, not refused.
    return503OnClosing: false,
    keepAliveTimeout: keepAliveTimeoutMs,
    bodyLimit: maxBodyBytes,
    http: {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: headersTimeoutMs,
      connectionsCheckingInterval: Math.ceil(headersTimeoutMs / 6),
      // Any other upgrade that a client offers, such as h2c, is declined by answering as if it had not.
      shouldUpgradeCallback: ({ headers }) => isWebSocketUpgrade(headers.upgrade),
    },
  }
}

function withoutBase(url: string, base: string): string {
  if (!base || !url.startsWith(base)) return url
  const rest = url.slice(base.length)
  if (rest.startsWith('/')) return rest
  return rest === '' || rest.startsWith('?') ? `/${rest}` : url
}
