import Fastify, { type FastifyInstance } from 'fastify'
import { type AppExtras, loginUrlOf, mounted, refuseOverload, shared } from './app.ts'
import type { GatewayOptions } from './config/index.ts'
import { basePath } from './config/index.ts'
import { systemClock } from './plugins/clock.ts'
import draining from './plugins/draining/index.ts'
import errors from './plugins/errors/index.ts'
import { hostConstraint, hostConstraintStrategy } from './plugins/frontends/host-constraint.ts'
import { forHost, nothingElse, withOwnKeys } from './plugins/frontends/index.ts'
import { withSlash } from './plugins/frontends/with-slash.ts'
import { routeEveryMethod, serverOptions } from './plugins/http-server/index.ts'
import limiting from './plugins/limits/index.ts'
import { defaultLimits } from './plugins/limits/limits.ts'
import type { Bff } from './plugins/local-routes/index.ts'
import tls from './plugins/tls/index.ts'
import { routableUrl } from './plugins/upstream-proxy/upstream-path.ts'
import { health } from './routes/health.ts'

/** Several frontends, each a gateway with issuer, client, cookie and upstreams of its own, told apart by host and path. */
export function buildFrontends(
  all: [GatewayOptions, ...GatewayOptions[]],
  extras: AppExtras = {},
): FastifyInstance {
  // What concerns the process is the same in all.
  const [first] = all
  const limits = { ...defaultLimits, ...extras.limits }
  const bases = all.map(({ publicUrl }) => basePath(publicUrl))
  const prefixes = all.flatMap(({ publicUrl, upstreams }) =>
    upstreams.map(({ prefix }) => basePath(publicUrl) + prefix),
  )
  const app = Fastify({
    ...serverOptions(first, loginUrlOf(first), limits, extras.logStream),
    rewriteUrl: ({ url = '/' }) => routableUrl(withSlash(url, bases), prefixes),
    routerOptions: { constraints: { [hostConstraint]: hostConstraintStrategy(first.trustProxy !== false) } },
  })
  routeEveryMethod(app)
  const gateways: Bff[] = []

  refuseOverload(app, extras)
  app.register(errors, { loginUrl: loginUrlOf(first) })
  app.register(limiting, limits)
  app.register(draining)
  if (first.tls) app.register(tls, { ...first.tls, clock: extras.clock ?? systemClock })
  app.register(health, {
    missing: async () => missingAnywhere(gateways),
    warnings: () => app.storeWarnings(),
  })
  shared(app, first, extras, true)
  for (const options of all) {
    const frontendScope = async (scope: FastifyInstance) => {
      await scope.register(forHost, { host: options.publicUrl.hostname })
      scope.decorate('metrics', app.metrics.of(options.publicUrl.origin + basePath(options.publicUrl)))
      await mounted(scope, withOwnKeys(options, all), extras)
      gateways.push(scope.bff)
      if (!servesFrontend(options)) scope.register(nothingElse)
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
