import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    draining: { begin(): void; isDraining(): boolean }
  }
}

/** While draining, clients are told to open no more requests on their connections, so that closing loses none. */
export default fp(
  async (app) => {
    let isDraining = false
    const begin = () => {
      isDraining = true
    }
    app.decorate('draining', { begin, isDraining: () => isDraining })
    app.addHook('preClose', async () => begin())
    app.addHook('onSend', async (_request, reply) => {
      if (isDraining) reply.header('connection', 'close')
    })
  },
  { name: 'draining', fastify: '5.x' },
)
