import fp from 'fastify-plugin'
import { errorCodeOf } from '../errors/index.ts'
import { openPrivatePort } from '../private-port/index.ts'
import { type Metrics, noMetrics } from './metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
  }
}

export interface ObservabilityOptions {
  host: string
  /** Port of `/metrics`, which must not be public. Unset: no metrics. */
  metricsPort?: number | undefined
  /** True for several frontends, each of which uses its own `metrics.of`. */
  several?: boolean | undefined
}

/** Prometheus metrics, served on a separate port. */
export default fp<ObservabilityOptions>(
  async (app, { host, metricsPort, several }) => {
    if (metricsPort === undefined) {
      app.decorate('metrics', noMetrics)
      return
    }
    // Loaded only when it is needed: it takes time and memory, and loads the API of OpenTelemetry.
    const { createMetrics } = await import('./prometheus.ts')
    const { metrics, registry } = createMetrics({ several })
    app.decorate('metrics', metrics)

    // A rate over a counter that appears with its first event would miss that event.
    app.addHook('onRoute', function ({ url }) {
      const { metrics: ofScope } = this
      if (several && ofScope === metrics) return
      for (const code of ['2xx', '4xx', '5xx']) ofScope.responseSent(url, code, 0)
    })
    app.addHook('onResponse', (request, { statusCode }, done) => {
      // A path that matches no route has no pattern.
      const { url = 'none' } = request.routeOptions
      const code = errorCodeOf(request) ?? `${Math.floor(statusCode / 100)}xx`
      // The route's scope, since each of several frontends has its own metrics.
      request.server.metrics.responseSent(url, code)
      done()
    })

    const server = openPrivatePort(app, {
      host,
      port: metricsPort,
      purpose: 'metrics',
      event: 'metrics.listening',
      path: '/metrics',
    })
    server.get('/metrics', async (_request, reply) => {
      reply.header('content-type', registry.contentType).header('cache-control', 'no-store')
      return registry.metrics()
    })
  },
  { name: 'observability', fastify: '5.x' },
)
