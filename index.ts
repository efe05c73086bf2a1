import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { registerGateway, registerSharedPlugins } from './app.ts'
import { type BffConfiguration, resolveOptions, withoutRegisterOptions } from './config/index.ts'
import { type BffHooks, keepFromCaches } from './plugins/application/index.ts'
import overload from './plugins/edge/overload/index.ts'

export { type AppExtras, buildApp } from './app.ts'
export type { GatewayOptions } from './config/index.ts'
export { ConfigurationError, type LoadedConfig, loadConfig } from './config/index.ts'
export { buildFrontends } from './frontends.ts'
export type { AccessTokenOptions, Bff, BffHooks, TokenRequest } from './plugins/application/index.ts'
export { type ErrorCode, GatewayError } from './plugins/errors/catalogue.ts'
export type { Claim, SessionInfo } from './plugins/session/claims.ts'
export type { EndedSession } from './plugins/session/events/session-events.ts'

/** Options of the plugin: its configuration and the application's hooks. */
export type BffOptions = BffConfiguration & BffHooks

/**
 * The gateway as a plugin for a Fastify application. Its routes are in a separate scope with their own error handler
 * and log serializers; the application uses `app.bff`, `request.session` and `request.accessToken`.
 */
const bff: FastifyPluginAsync<BffOptions> = fp(
  async (app: FastifyInstance, given: BffOptions) => {
    const { onClaims, onLogin, onRenewed, onLogout, ...configuration } = withoutRegisterOptions(given)
    const { options, warnings } = resolveOptions(configuration)
    for (const warning of warnings) app.log.warn(warning)
    const hooks = { onClaims, onLogin, onRenewed, onLogout } as BffHooks

    let onRefused = () => {}
    const { corsOrigins } = options
    app.register(overload, { corsOrigins, ownRoutesOnly: true, onRefused: () => onRefused() })
    await registerGateway(app, options, { hooks }, (scope) => {
      scope.addHook('onRoute', (route) => {
        route.config = { ...route.config, ofGateway: true }
      })
      onRefused = () => scope.metrics.overloaded()
      registerSharedPlugins(scope, options, {})
    })
    // After the gateway's own routes, which set the header themselves.
    app.addHook('onSend', keepFromCaches)
  },
  { name: 'fastify-bff', fastify: '5.x' },
)

export default bff
