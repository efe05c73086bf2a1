import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { basePath, type GatewayOptions } from './config/index.ts'
import { defaultLimits, type Limits } from './http/limits.ts'
import { type Clock, systemClock } from './lib/clock.ts'
import localRoutes, { type BffHooks, keepFromCaches, requestMembers } from './plugins/application/index.ts'
import draining from './plugins/edge/draining/index.ts'
import { type LogStream, routeEveryMethod, serverOptions } from './plugins/edge/index.ts'
import overload from './plugins/edge/overload/index.ts'
import limiting from './plugins/edge/request-limits/index.ts'
import { prepareSockets } from './plugins/edge/sockets.ts'
import tls from './plugins/edge/tls/index.ts'
import errors, { answerError, type ErrorsOptions } from './plugins/errors/index.ts'
import devServer from './plugins/frontend/dev-server/index.ts'
import frontend from './plugins/frontend/index.ts'
import requestGuard from './plugins/guard/index.ts'
import issuer from './plugins/issuer/index.ts'
import { serializers } from './plugins/logging/logger.ts'
import loginGate from './plugins/login/gate/index.ts'
import observability from './plugins/observability/index.ts'
import tracing from './plugins/observability/tracing/index.ts'
import sessionCookie from './plugins/session/cookie/index.ts'
import deviceBinding from './plugins/session/device-binding/index.ts'
import type { BindingTimes } from './plugins/session/device-binding/times.ts'
import sessionEvents from './plugins/session/events/index.ts'
import oidcSession from './plugins/session/index.ts'
import openStreams from './plugins/session/streams/index.ts'
import sessionStore from './plugins/session-store/index.ts'
import tokens from './plugins/tokens/index.ts'
import upstreamProxy from './plugins/upstream/index.ts'
import { admin, administered } from './routes/admin/index.ts'
import { bffRoutes } from './routes/bff/index.ts'
import type { RouteOptions } from './routes/bff/options.ts'
import { health } from './routes/health.ts'

export interface AppExtras {
  /** The application's own routes, behind the request guard. They may use `app.bff.requireSession` and the like. */
  localRoutes?: FastifyPluginAsync
  /** Callbacks of the application for session events. */
  hooks?: BffHooks
  clock?: Clock
  /** Overrides of the default limits. */
  limits?: Partial<Limits>
  /** Overrides of the times of device binding. */
  bindingTimes?: Partial<BindingTimes>
  /** Decides whether requests are refused. Unset: while the event loop is late. */
  isOverloaded?: (() => boolean) | undefined
  /** Where log lines go. Unset: standard output. */
  logStream?: LogStream
}

/** The gateway as a standalone server. */
export function buildApp(options: GatewayOptions, extras: AppExtras = {}): FastifyInstance {
  const limits = { ...defaultLimits, ...extras.limits }
  const app = Fastify(serverOptions(options, errorsOptions(options), limits, extras.logStream))
  routeEveryMethod(app)

  refuseOverload(app, options.corsOrigins, extras)
  app.register(errors, errorsOptions(options))
  app.register(limiting, limits)
  app.register(draining)
  if (options.tls) app.register(tls, { ...options.tls, clock: extras.clock ?? systemClock })
  app.register(health, { missing: () => app.bff.missing(), warnings: () => app.storeWarnings() })
  app.register(requestMembers)
  app.register(sessionCookie, sessionCookieOptions(options))
  registerSharedPlugins(app, options, extras)
  app.register(fp(async (scope) => gateway(scope, options, extras)))
  return app
}

/** Registers the gateway's plugins and routes, in the order in which a request passes them. */
async function gateway(app: FastifyInstance, options: GatewayOptions, extras: AppExtras): Promise<void> {
  const { publicUrl, oidc, session, cookie, csrfHeader, corsOrigins, upstreams } = options
  const { clock = systemClock } = extras
  const routeOptions: RouteOptions = { ...options, clock, ...defaultLimits, ...extras.limits }
  const guard = { csrfHeader, publicUrl, corsOrigins }

  prepareSockets(app.server)
  app.register(issuer, { ...oidc, clock })
  app.register(sessionEvents, { ...extras.hooks })
  app.register(deviceBinding, {
    publicUrl,
    binding: session.binding,
    keys: session.keys,
    sessionCookie: cookie,
    corsOrigins,
    clock,
    times: extras.bindingTimes,
  })
  app.register(oidcSession, { ...session, clock })
  app.register(administered, { publicUrl, issuerUrl: oidc.issuer })
  app.register(openStreams, { ...defaultLimits, ...extras.limits })
  app.register(tokens, {
    refreshBeforeExpirationMs: options.refreshBeforeExpirationMs,
    issuerTimeoutMs: oidc.timeoutMs,
    dpop: oidc.dpop,
    storeTimeoutMs: options.storeTimeoutMs,
    keys: session.keys,
    issuerUrl: oidc.issuer,
    clock,
  })

  app.register(loginGate, {
    publicUrl,
    basePath: basePath(publicUrl),
    sessionCookie: cookie.name,
    sameSite: cookie.sameSite,
  })
  app.register(localRoutes, { ...guard, ...errorsOptions(options), upstreams })

  app.register(bffRoutes, routeOptions)
  app.register(async (scope) => guarded(scope, routeOptions, extras))
  app.register(async (scope) => frontendPages(scope, options))
}

/** Routes for scripts of the frontend only, protected against calls by other sites (CSRF). */
async function guarded(app: FastifyInstance, options: RouteOptions, extras: AppExtras): Promise<void> {
  const { csrfHeader, publicUrl } = options
  await app.register(requestGuard, options)

  for (const upstream of options.upstreams) {
    app.register(upstreamProxy, {
      upstream,
      csrfHeader,
      publicUrl,
      basePath: basePath(publicUrl),
      sessionCookies: sessionCookies(options),
    })
  }
  const { localRoutes: own } = extras
  if (own) app.register(async (scope) => scope.addHook('onSend', keepFromCaches).register(own))
}

/** Pages and their assets, which need no CSRF header. Registered last, since they match all remaining paths. */
async function frontendPages(app: FastifyInstance, options: GatewayOptions): Promise<void> {
  const { publicUrl, oidc, staticDir, frontendUrl, frontendCsp, requireLogin, csrfHeader } = options
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, navigation: true, sessionCookieUpdates: 'on-navigation' }
  })
  if (requireLogin) app.addHook('onRequest', app.loginGate.admit)

  if (staticDir !== undefined) {
    app.register(frontend, {
      staticDir,
      https: publicUrl.protocol === 'https:',
      issuerOrigin: oidc.issuer.origin,
      widening: frontendCsp,
      isPrivate: requireLogin,
    })
  }
  if (frontendUrl !== undefined) {
    const own = {
      publicUrl,
      basePath: basePath(publicUrl),
      csrfHeader,
      sessionCookies: sessionCookies(options),
    }
    app.register(devServer, { frontendUrl, caFile: options.frontendCaFile, ...own })
  }
}

/** Must be registered before anything else that handles requests. */
export function refuseOverload(
  app: FastifyInstance,
  corsOrigins: string[],
  { isOverloaded }: AppExtras,
): void {
  app.register(overload, { corsOrigins, onRefused: () => app.metrics.overloaded(), isOverloaded })
}

/**
 * Traces, metrics, session store and the administrator's API, shared by all gateways of a process.
 * @param several true for several gateways
 */
export function registerSharedPlugins(
  app: FastifyInstance,
  options: GatewayOptions,
  extras: AppExtras,
  several = false,
): void {
  const { metricsHost, metricsPort, redisUrl, redis, storeTimeoutMs } = options
  app.register(tracing)
  app.register(observability, { host: metricsHost, metricsPort, several })
  const clock = extras.clock ?? systemClock
  app.register(sessionStore, { redisUrl, redisAccess: redis, storeTimeoutMs, clock })
  const { adminHost, adminPort, adminToken } = options
  app.register(admin, {
    host: adminHost,
    port: adminPort,
    token: adminToken,
    errors: errorsOptions(options),
    clock,
  })
}

/** Registers the gateway in a separate scope with its own error handler and log serializers, and decorates `app` with `bff`. */
export async function registerGateway(
  app: FastifyInstance,
  options: GatewayOptions,
  extras: AppExtras,
  before: (scope: FastifyInstance) => void = () => {},
): Promise<void> {
  await app.register(requestMembers)
  await app.register(sessionCookie, sessionCookieOptions(options))
  let inner = app
  await app.register(
    async (scope: FastifyInstance) => {
      scope.setErrorHandler(answerError(errorsOptions(options)))
      before(scope)
      await gateway(scope, options, extras)
      inner = scope
    },
    // Fastify's types lack serializers that return an object.
    { logSerializers: serializers as never },
  )
  app.decorate('bff', inner.bff)
}

/** Names for all frontends in this process: no upstream may get the session cookie of another frontend. */
function sessionCookies({ cookie: { name, others = [] } }: GatewayOptions): string[] {
  return [name, ...others]
}

function sessionCookieOptions(options: GatewayOptions) {
  const { cookie, session, publicUrl, corsOrigins } = options
  const { name, sameSite } = cookie
  const [secure, hasForeignPages] = [publicUrl.protocol === 'https:', corsOrigins.length > 0]
  return { name, sameSite, ...session, secure, hasForeignPages }
}

export function errorsOptions(options: GatewayOptions): ErrorsOptions {
  const { publicUrl, corsOrigins, frontendName: name, frontendColor: color } = options
  const homeUrl = `${basePath(publicUrl)}/`
  return { loginUrl: loginUrlOf(options), homeUrl, name, color, publicUrl, corsOrigins }
}

function loginUrlOf({ publicUrl }: GatewayOptions): string {
  return `${basePath(publicUrl)}/bff/login`
}
