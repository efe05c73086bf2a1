import type { FastifyInstance } from 'fastify'

export interface HealthOptions {
  /** Required services that are unavailable. */
  missing(): Promise<string[]>
  /** Problems that don't make the gateway unready. */
  warnings(): string[]
}

/**
 * Liveness depends on no other service; readiness checks the required ones. Both answer during an overload: otherwise
 * the load would move to the other instances, and all would become unready one after the other.
 */
export async function health(
  app: FastifyInstance,
  { missing: missingParts, warnings: allWarnings }: HealthOptions,
): Promise<void> {
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  const probe = { config: { answersWhenOverloaded: true } }
  app.get('/healthz', probe, async () => ({ status: 'ok' }))

  app.get('/readyz', probe, async (_request, reply) => {
    const missing = await missingParts()
    if (app.draining.isDraining()) missing.unshift('shutting down')
    const warnings = allWarnings()
    const more = warnings.length > 0 ? { warnings } : {}
    if (missing.length === 0) return { status: 'ready', ...more }
    reply.code(503)
    return { status: 'not ready', missing, ...more }
  })
}
