import type { FastifyPluginAsync } from 'fastify'

/** A route of the application's own in the gateway: it knows who is signed in, and calls nobody. */
export const localApi: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', app.bff.requireSession)

  app.get('/local/greeting', async ({ session }, reply) => {
    reply.header('cache-control', 'no-store')
    const name = session?.claims['name'] ?? session?.subject
    return { greeting: `Hello, ${name}`, time: new Date().toISOString() }
  })
}
