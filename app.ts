import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { type AppExtras, gateway, loginUrlOf, mounted, sessionCookieOptions, shared } from './gateway.ts'
import type { BffConfiguration } from './plugins/config/bff-options.ts'
import type { GatewayOptions } from './plugins/config/options.ts'
import { resolveOptions, withoutRegisterOptions } from './plugins/config/resolve-options.ts'
import draining from './plugins/draining/index.ts'
import errors from './plugins/errors/index.ts'
import { serverOptions } from './plugins/http-server/index.ts'
import limiting from './plugins/limits/index.ts'
import { defaultLimits } from './plugins/limits/limits.ts'
import { type BffHooks, requestMembers } from './plugins/local-routes/index.ts'
import sessionCookie from './plugins/session-cookie/index.ts'
import { health } from './routes/health.ts'

export { buildFrontends } from './frontends.ts'
export type { AppExtras } from './gateway.ts'
export { ConfigurationError } from './plugins/config/configuration-error.ts'
export { type LoadedConfig, loadConfig } from './plugins/config/load-config.ts'
export type { GatewayOptions } from './plugins/config/options.ts'
export { type ErrorCode, GatewayError } from './plugins/errors/catalogue.ts'
export type { AccessTokenOptions, Bff, BffHooks } from './plugins/local-routes/index.ts'
export type { Claim } from './plugins/oidc-session/claims.ts'
export type { SessionInfo } from './plugins/oidc-session/session-info.ts'
export type { Session } from './plugins/oidc-session/sessions.ts'
export type { EndedSession } from './plugins/session-events/session-events.ts'

/** What the plugin is told: how to work, and whom to tell. */
export type BffOptions = BffConfiguration & BffHooks

/** The gateway with a server of its own. */
export function buildApp(options: GatewayOptions, extras: AppExtras = {}): FastifyInstance {
  const limits = { ...defaultLimits, ...extras.limits }
  const loginUrl = loginUrlOf(options)
  const app = Fastify(serverOptions(options, loginUrl, limits, extras.logStream))

  app.register(errors, { loginUrl })
  app.register(limiting, limits)
  app.register(draining)
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
