import fp from 'fastify-plugin'
import { pathOf } from '../../../http/path.ts'
import { noTracing, type Tracing } from '../../../lib/tracing.ts'
import { errorCodeOf } from '../../errors/index.ts'
import { addToLog } from '../../logging/logger.ts'
import type { OpenRequestTrace } from './open-telemetry.ts'

declare module 'fastify' {
  interface FastifyInstance {
    tracing: Tracing
  }
  interface FastifyRequest {
    /** Null: the request is not traced. */
    trace: OpenRequestTrace | null
  }
}

/** Where OpenTelemetry's API keeps what is registered for the process. */
const openTelemetry = Symbol.for('opentelemetry.js.api.1')

/**
 * Traces requests if a tracer provider is registered for the process: by `server.ts`, or by an application that uses
 * the gateway as a plugin. Without one, this loads nothing of OpenTelemetry.
 */
export default fp(
  async (app) => {
    app.decorateRequest('trace', null)
    if (!isRegistered()) return void app.decorate('tracing', noTracing)
    const { createOpenTelemetryTracing } = await import('./open-telemetry.ts')
    const tracing = createOpenTelemetryTracing()
    app.decorate('tracing', tracing)

    app.addHook('onRequest', (request, reply, done) => {
      const { raw, method, headers, routeOptions, protocol: scheme } = request
      const path = pathOf(request.originalUrl)
      const { url: route } = routeOptions
      const begun = tracing.beginRequest({
        method,
        route,
        path,
        scheme,
        httpVersion: raw.httpVersion,
        headers,
      })
      request.trace = begun
      addToLog(request, begun.ids)
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) begun.end(reply.statusCode, 'aborted')
      })
      begun.run(done)
    })
    // The body has been read, and the events that it came with have no context.
    app.addHook('preValidation', (request, _reply, done) => {
      if (request.trace) request.trace.run(done)
      else done()
    })
    app.addHook('onResponse', (request, reply, done) => {
      const code = errorCodeOf(request)
      request.trace?.end(
        reply.statusCode,
        code ?? (reply.statusCode >= 500 ? String(reply.statusCode) : undefined),
      )
      done()
    })
  },
  { name: 'tracing', fastify: '5.x' },
)

function isRegistered(): boolean {
  const registered = (globalThis as Record<symbol, unknown>)[openTelemetry]
  return typeof registered === 'object' && registered !== null && 'trace' in registered
}
