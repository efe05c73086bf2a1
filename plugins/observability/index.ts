import Fastify from 'fastify'
import fp from 'fastify-plugin'
import { createMetrics, type Metrics, noMetrics } from './metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
  }
}

export interface ObservabilityOptions {
  host: string
  /** Of `/metrics`, which is not for the public. Unset: nothing is counted. */
  metricsPort?: number | undefined
}

/** Counts for Prometheus, on a port of their own. */
export default fp<ObservabilityOptions>(
  async (app, { host, metricsPort }) => {
    if (metricsPort === undefined) {
      app.decorate('metrics', noMetrics)
      return
    }
    const { metrics, registry } = createMetrics()
    app.decorate('metrics', metrics)

    const server = Fastify({ loggerInstance: app.log })
    server.get('/metrics', async (_request, reply) => {
      reply.header('content-type', registry.contentType).header('cache-control', 'no-store')
      return registry.metrics()
    })
    app.addHook('onReady', async () => {
      await server.listen({ host, port: metricsPort })
    })
    app.addHook('onClose', () => server.close())
  },
  { name: 'observability', fastify: '5.x' },
)
