import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { type Clock, systemClock } from './plugins/clock.ts'
import type { BffConfiguration } from './plugins/config/bff-options.ts'
import type { GatewayOptions } from './plugins/config/options.ts'
import { resolveOptions, withoutRegisterOptions } from './plugins/config/resolve-options.ts'
import devServer from './plugins/dev-server/index.ts'
import draining from './plugins/draining/index.ts'
import errors, { answerError } from './plugins/errors/index.ts'
import frontend from './plugins/frontend/index.ts'
import { hostConstraint, hostConstraintStrategy } from './plugins/frontends/host-constraint.ts'
import { forHost, nothingElse, withOwnKeys } from './plugins/frontends/index.ts'
import { withSlash } from './plugins/frontends/with-slash.ts'
import { type LogStream, serverOptions } from './plugins/http-server/index.ts'
import issuer from './plugins/issuer/index.ts'
import limiting from './plugins/limits/index.ts'
import { defaultLimits, type Limits } from './plugins/limits/limits.ts'
import localRoutes, { type Bff, type BffHooks, requestMembers } from './plugins/local-routes/index.ts'
import { serializers } from './plugins/logging/logger-options.ts'
import loginGate from './plugins/login-gate/index.ts'
import observability from './plugins/observability/index.ts'
import oidcSession from './plugins/oidc-session/index.ts'
import requestGuard from './plugins/request-guard/index.ts'
import sessionCookie from './plugins/session-cookie/index.ts'
import sessionEvents from './plugins/session-events/index.ts'
import sessionStore from './plugins/session-store/index.ts'
import tls from './plugins/tls/index.ts'
import tokenRenewal from './plugins/token-renewal/index.ts'
import tokenSources from './plugins/token-sources/index.ts'
import upstreamProxy from './plugins/upstream-proxy/index.ts'
import { logoutNotices, navigations, sessionEndpoints } from './routes/bff/index.ts'
import type { RouteOptions } from './routes/bff/options.ts'
import { basePath } from './routes/bff/paths.ts'
import { health } from './routes/health.ts'

export { ConfigurationError } from './plugins/config/configuration-error.ts'
export { type ErrorCode, GatewayError } from './plugins/errors/catalogue.ts'
export type { AccessTokenOptions, Bff, BffHooks } from './plugins/local-routes/index.ts'
export type { Claim } from './plugins/oidc-session/claims.ts'
export type { SessionInfo } from './plugins/oidc-session/session-info.ts'
export type { Session } from './plugins/oidc-session/sessions.ts'
export type { EndedSession } from './plugins/session-events/session-events.ts'

/** What the plugin is told: how to work, and whom to tell. */
export type BffOptions = BffConfiguration & BffHooks

export interface AppExtras {
  /** Routes of the application's own, behind the request guard: they call `app.bff.requireSession` and the like. */
  localRoutes?: FastifyPluginAsync
  /** What the application wants to know of its users' sessions. */
  hooks?: BffHooks
  clock?: Clock
  /** Others than the usual ones. */
  limits?: Partial<Limits>
  /** Where log lines go. Unset: standard output. */
  logStream?: LogStream
}

/** The gateway with a server of its own. */
export function buildApp(options: GatewayOptions, extras: AppExtras = {}): FastifyInstance {
  const limits = { ...defaultLimits, ...extras.limits }
  const loginUrl = loginUrlOf(options)
  const app = Fastify(serverOptions(options, loginUrl, limits, extras.logStream))

  app.register(errors, { loginUrl })
  app.register(limiting, limits)
  app.register(draining)
  if (options.tls) app.register(tls, { ...options.tls, clock: extras.clock ?? systemClock })
  app.register(health, { missing: () => app.bff.missing() })
  app.register(requestMembers)
  app.register(sessionCookie, sessionCookieOptions(options))
  shared(app, options, extras)
  app.register(fp(async (scope) => gateway(scope, options, extras)))
  return app
}

/**
 * The gateway in somebody's own application. Its routes have a scope of their own, with its errors and its rules for
 * log lines; what the application gets of it is `app.bff`, `request.session` and `request.accessToken`.
 */
const bff: FastifyPluginAsync<BffOptions> = fp(
  async (app: FastifyInstance, given: BffOptions) => {
    const { onClaims, onLogin, onRenewed, onLogout, ...configuration } = withoutRegisterOptions(given)
    const { options, warnings } = resolveOptions(configuration)
    for (const warning of warnings) app.log.warn(warning)
    const hooks = { onClaims, onLogin, onRenewed, onLogout } as BffHooks

    await mounted(app, options, { hooks }, (scope) => shared(scope, options, {}))
  },
  { name: 'fastify-bff', fastify: '5.x' },
)

export default bff

/** Several frontends, each a gateway with issuer, client, cookie and upstreams of its own, told apart by host and path. */
export function buildFrontends(
  all: [GatewayOptions, ...GatewayOptions[]],
  extras: AppExtras = {},
): FastifyInstance {
  // What concerns the process is the same in all.
  const [first] = all
  const limits = { ...defaultLimits, ...extras.limits }
  const bases = all.map(({ publicUrl }) => basePath(publicUrl))
  const app = Fastify({
    ...serverOptions(first, loginUrlOf(first), limits, extras.logStream),
    rewriteUrl: ({ url = '/' }) => withSlash(url, bases),
    routerOptions: { constraints: { [hostConstraint]: hostConstraintStrategy(first.trustProxy !== false) } },
  })
  const gateways: Bff[] = []

  app.register(errors, { loginUrl: loginUrlOf(first) })
  app.register(limiting, limits)
  app.register(draining)
  app.register(health, { missing: async () => missingAnywhere(gateways) })
  shared(app, first, extras)
  for (const options of all) {
    const frontendScope = async (scope: FastifyInstance) => {
      await scope.register(forHost, { host: options.publicUrl.hostname })
      await mounted(scope, withOwnKeys(options), extras)
      gateways.push(scope.bff)
      if (!servesFrontend(options)) scope.register(nothingElse)
    }
    app.register(frontendScope, { prefix: basePath(options.publicUrl) })
  }
  return app
}

/** The gateway in a scope of its own, with its errors and log lines; `app` gets of it what an application needs. */
async function mounted(
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
      scope.setErrorHandler(answerError(loginUrlOf(options)))
      before(scope)
      await gateway(scope, options, extras)
      inner = scope
    },
    // The types know none that return an object.
    { logSerializers: serializers as never },
  )
  app.decorate('bff', inner.bff)
}

/** What gateways of one process can have in common. */
function shared(
  app: FastifyInstance,
  { host, metricsPort, redisUrl }: GatewayOptions,
  extras: AppExtras,
): void {
  app.register(observability, { host, metricsPort })
  app.register(sessionStore, { redisUrl, clock: extras.clock ?? systemClock })
}

/** From top to bottom the way that a request takes. */
async function gateway(app: FastifyInstance, options: GatewayOptions, extras: AppExtras): Promise<void> {
  const { publicUrl, oidc, session, cookie, csrfHeader, corsOrigins, upstreams } = options
  const { clock = systemClock } = extras
  const { requestsPerMinute } = { ...defaultLimits, ...extras.limits }
  const routeOptions: RouteOptions = { ...options, clock, requestsPerMinute }
  const guard = { csrfHeader, publicUrl, corsOrigins }

  app.register(sessionEvents, { ...extras.hooks })
  app.register(issuer, { ...oidc, clock })

  app.register(oidcSession, { ...session, clock })
  const renewal = {
    refreshBeforeExpirationMs: options.refreshBeforeExpirationMs,
    issuerTimeoutMs: oidc.timeoutMs,
    clock,
  }
  app.register(tokenRenewal, renewal)
  app.register(tokenSources, { ...renewal, keys: session.keys, issuerUrl: oidc.issuer })

  app.register(loginGate, {
    publicUrl,
    basePath: basePath(publicUrl),
    sessionCookie: cookie.name,
    sameSite: cookie.sameSite,
  })
  app.register(localRoutes, { ...guard, loginUrl: loginUrlOf(options), upstreams })

  app.register(async (scope) => navigations(scope, routeOptions))
  app.register(async (scope) => logoutNotices(scope, routeOptions))
  app.register(async (scope) => sessionEndpoints(scope, routeOptions), { prefix: '/bff' })
  app.register(async (scope) => guarded(scope, routeOptions, extras))
  app.register(async (scope) => frontendPages(scope, options))
}

/** For scripts of the frontend alone: whatever is registered here, other sites can't make a browser call. */
async function guarded(app: FastifyInstance, options: RouteOptions, extras: AppExtras): Promise<void> {
  const { csrfHeader, publicUrl, corsOrigins } = options
  await app.register(requestGuard, { csrfHeader, publicUrl, corsOrigins })

  for (const upstream of options.upstreams) {
    app.register(upstreamProxy, {
      upstream,
      csrfHeader,
      basePath: basePath(publicUrl),
      sessionCookie: options.cookie.name,
    })
  }
  if (extras.localRoutes) app.register(extras.localRoutes)
}

function sessionCookieOptions({ cookie, session, publicUrl }: GatewayOptions) {
  return { ...cookie, ...session, secure: publicUrl.protocol === 'https:' }
}

async function missingAnywhere(gateways: Bff[]): Promise<string[]> {
  const missing = await Promise.all(gateways.map((gateway) => gateway.missing()))
  return [...new Set(missing.flat())]
}

function servesFrontend({ staticDir, frontendUrl }: GatewayOptions): boolean {
  return staticDir !== undefined || frontendUrl !== undefined
}

function loginUrlOf({ publicUrl }: GatewayOptions): string {
  return `${basePath(publicUrl)}/bff/login`
}

/** Where browsers navigate and what their pages load, which needs no header. At the end: whatever is not ours. */
async function frontendPages(app: FastifyInstance, options: GatewayOptions): Promise<void> {
  const { publicUrl, oidc, staticDir, frontendUrl, requireLogin, csrfHeader } = options
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, navigation: true }
  })
  if (requireLogin) app.addHook('onRequest', app.loginGate.admit)

  if (staticDir !== undefined) {
    app.register(frontend, {
      staticDir,
      https: publicUrl.protocol === 'https:',
      issuerOrigin: oidc.issuer.origin,
      isPrivate: requireLogin,
    })
  }
  if (frontendUrl !== undefined) {
    const own = { publicUrl, basePath: basePath(publicUrl), csrfHeader, sessionCookie: options.cookie.name }
    app.register(devServer, { frontendUrl, ...own })
  }
}
