import Fastify from 'fastify'
import fp from 'fastify-plugin'
import { errorCodeOf } from '../errors/index.ts'
import { createMetrics, type Metrics, noMetrics } from './metrics.ts'

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

/** The metrics port can't be opened. */
export class MetricsPortError extends Error {
  readonly code = 'METRICS_PORT_UNAVAILABLE'

  constructor(host: string, port: number, cause: unknown) {
    super(`Can't listen on ${host}, port ${port}, for metrics`, { cause })
  }
}

/** Prometheus metrics, served on a separate port. */
export default fp<ObservabilityOptions>(
  async (app, { host, metricsPort, several }) => {
    if (metricsPort === undefined) {
      app.decorate('metrics', noMetrics)
      return
    }
    const { metrics, registry } = createMetrics({ several })
    app.decorate('metrics', metrics)

    app.addHook('onResponse', (request, { statusCode }, done) => {
      // A path that matches no route has no pattern.
      const { url = 'none' } = request.routeOptions
      const code = errorCodeOf(request) ?? `${Math.floor(statusCode / 100)}xx`
      // The route's scope, since each of several frontends has its own metrics.
      request.server.metrics.responseSent(url, code)
      done()
    })

    // Without logging: scrapes come every few seconds.
    const server = Fastify({ logger: false })
    server.get('/metrics', async (_request, reply) => {
      reply.header('content-type', registry.contentType).header('cache-control', 'no-store')
      return registry.metrics()
    })
    app.addHook('onReady', async () => {
      const url = await server.listen({ host, port: metricsPort }).catch((cause: unknown) => {
        throw new MetricsPortError(host, metricsPort, cause)
      })
      app.log.info({ event: 'metrics.listening' }, `Metrics at ${url}/metrics`)
    })
    app.addHook('onClose', () => server.close())
  },
  { name: 'observability', fastify: '5.x' },
)
