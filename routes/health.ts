import type { FastifyInstance } from 'fastify'

export interface HealthOptions {
  /** What can't be worked without and isn't there. */
  missing(): Promise<string[]>
  /** What works badly, though it works. */
  warnings(): string[]
}

/**
 * Liveness touches nothing else; readiness asks for what the gateway can't work without. Both answer during an overload:
 * instances share their load, so they would all become unready one after the other.
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
