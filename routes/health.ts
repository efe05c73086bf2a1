import type { FastifyInstance } from 'fastify'

/** Liveness touches nothing else; readiness asks for what the gateway can't work without. */
export async function health(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  app.get('/healthz', async () => ({ status: 'ok' }))

  app.get('/readyz', async (_request, reply) => {
    const missing = []
    if (app.draining.isDraining()) missing.push('shutting down')
    if (!(await storeAnswers())) missing.push('session store')
    // Whether they were ever learned: an issuer that fails later does not make the gateway unready.
    if (!app.issuer.isKnown()) missing.push('issuer metadata')
    if (missing.length === 0) return { status: 'ready' }
    reply.code(503)
    return { status: 'not ready', missing }
  })

  async function storeAnswers(): Promise<boolean> {
    return app.sessionStore.ping().then(
      () => true,
      () => false,
    )
  }
}
