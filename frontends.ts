import Fastify, { type FastifyInstance } from 'fastify'
import {
  type AppExtras,
  errorsOptions,
  refuseOverload,
  registerGateway,
  registerSharedPlugins,
} from './app.ts'
import { basePath, type GatewayOptions } from './config/index.ts'
import { defaultLimits } from './http/limits.ts'
import { routableUrl } from './http/path.ts'
import { systemClock } from './lib/clock.ts'
import type { Bff } from './plugins/application/index.ts'
import draining from './plugins/edge/draining/index.ts'
import { routeEveryMethod, serverOptions } from './plugins/edge/index.ts'
import limiting from './plugins/edge/request-limits/index.ts'
import tls from './plugins/edge/tls/index.ts'
import errors from './plugins/errors/index.ts'
import { forHost, notFoundBelow, withOwnKeys } from './plugins/frontend/several/index.ts'
import { hostConstraint, hostConstraintStrategy, withSlash } from './plugins/frontend/several/routing.ts'
import { health } from './routes/health.ts'

/** Several frontends, distinguished by host and path: each is a gateway with its own issuer, client, cookie and upstreams. */
export function buildFrontends(
  all: [GatewayOptions, ...GatewayOptions[]],
  extras: AppExtras = {},
): FastifyInstance {
  // Options of the process are the same in all of them.
  const [first] = all
  const limits = { ...defaultLimits, ...extras.limits }
  const bases = all.map(({ publicUrl }) => basePath(publicUrl))
  const prefixes = all.flatMap(({ publicUrl, upstreams }) =>
    upstreams.map(({ prefix }) => basePath(publicUrl) + prefix),
  )
  const corsOrigins = [...new Set(all.flatMap((options) => options.corsOrigins))]
  const errorsOfAll = { ...errorsOptions(first), corsOrigins }
  const app = Fastify({
    ...serverOptions(first, errorsOfAll, limits, extras.logStream),
    rewriteUrl: ({ url = '/' }) => routableUrl(withSlash(url, bases), prefixes),
    routerOptions: { constraints: { [hostConstraint]: hostConstraintStrategy(first.trustProxy) } },
  })
  routeEveryMethod(app)
  const gateways: Bff[] = []

  refuseOverload(app, corsOrigins, extras)
  app.register(errors, errorsOfAll)
  app.register(limiting, limits)
  app.register(draining)
  if (first.tls) app.register(tls, { ...first.tls, clock: extras.clock ?? systemClock })
  app.register(health, {
    missing: async () => missingAnywhere(gateways),
    warnings: () => app.storeWarnings(),
  })
  registerSharedPlugins(app, first, extras, true)
  for (const options of all) {
    const frontendScope = async (scope: FastifyInstance) => {
      await scope.register(forHost, { host: options.publicUrl.hostname })
      scope.decorate('metrics', app.metrics.of(options.publicUrl.origin + basePath(options.publicUrl)))
      await registerGateway(scope, withOwnKeys(options, all), extras)
      gateways.push(scope.bff)
      if (!servesFrontend(options)) scope.register(notFoundBelow)
    }
    app.register(frontendScope, { prefix: basePath(options.publicUrl) })
  }
  return app
}

async function missingAnywhere(gateways: Bff[]): Promise<string[]> {
  const missing = await Promise.all(gateways.map((gateway) => gateway.missing()))
  return [...new Set(missing.flat())]
}

function servesFrontend({ staticDir, frontendUrl }: GatewayOptions): boolean {
  return staticDir !== undefined || frontendUrl !== undefined
}
