import type { FastifyPluginAsync } from 'fastify'

/** A route of the application in the gateway: it uses the session, without calling an API. */
export const localApi: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', app.bff.requireSession)

  app.get('/local/greeting', async ({ session }, reply) => {
    reply.header('cache-control', 'no-store')
    const name = session?.claims['name'] ?? session?.subject
    return { greeting: `Hello, ${name}`, time: new Date().toISOString() }
  })
}
