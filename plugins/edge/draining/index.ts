import fp from 'fastify-plugin'
import { http2Stream } from '../http2-messages.ts'
import { watchConnections } from './connections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    draining: {
      begin(): void
      isDraining(): boolean
      /** Ends whatever is still under way. */
      cutOff(): void
    }
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
      connections.sayGoodbye()
    }
    app.decorate('draining', { begin, isDraining: () => isDraining, cutOff: connections.cutOff })
    app.addHook('preClose', async () => {
      begin()
      isClosing = true
      // Once nobody can connect any more.
      setImmediate(() => {
        connections.sayGoodbye()
        connections.closeUnused()
      })
    })
    app.addHook('onSend', async ({ raw }, reply) => {
      if (!isDraining) return
      const stream = http2Stream(raw)
      // HTTP/2 has a frame for it, GOAWAY, and forbids the header.
      if (stream) stream.session?.close()
      else reply.header('connection', 'close')
    })
    app.addHook('onResponse', async ({ raw }) => {
      if (isClosing) connections.closeAnswered(raw.socket)
    })
  },
  { name: 'draining', fastify: '5.x' },
)
