import fp from 'fastify-plugin'
import { watchConnections } from './connections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    draining: { begin(): void; isDraining(): boolean }
  }
}

/**
 * While draining, clients are told to open no more requests on their connections, so that closing loses none; and
 * closing waits for requests only, not for connections that are kept open.
 */
export default fp(
  async (app) => {
    const connections = watchConnections(app.server)
    let isDraining = false
    let isClosing = false
    const begin = () => {
      isDraining = true
    }
    app.decorate('draining', { begin, isDraining: () => isDraining })
    app.addHook('preClose', async () => {
      begin()
      isClosing = true
      // Once nobody can connect any more.
      setImmediate(connections.closeUnused)
    })
    app.addHook('onSend', async (_request, reply) => {
      if (isDraining) reply.header('connection', 'close')
    })
    app.addHook('onResponse', async ({ raw }) => {
      if (isClosing) connections.closeAnswered(raw.socket)
    })
  },
  { name: 'draining', fastify: '5.x' },
)
