import fp from 'fastify-plugin'
import { arrivedDataRead } from '../../../lib/event-loop.ts'
import { isLast } from '../../errors/malformed-request.ts'
import { http2Stream } from '../http2-messages.ts'
import { watchConnections } from './connections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    draining: {
      begin(): void
      isDraining(): boolean
      /** Destroys all connections. */
      cutOff(): void
    }
  }
}

/**
 * While draining, responses tell clients to send no more requests on their connections, so that closing loses none.
 * Closing waits for requests only, not for idle keep-alive connections.
 */
export default fp(
  async (app) => {
    const connections = watchConnections(app.server)
    let isDraining = false
    let isClosing = false
    const begin = () => {
      isDraining = true
      connections.sendGoaway()
    }
    app.decorate('draining', { begin, isDraining: () => isDraining, cutOff: connections.cutOff })
    app.addHook('preClose', async () => {
      begin()
      isClosing = true
      // Requests that are already in a socket would be lost with it.
      await arrivedDataRead()
      // In the next turn, when the server accepts no more connections.
      setImmediate(async () => {
        connections.sendGoaway()
        await arrivedDataRead()
        connections.closeUnused()
      })
    })
    app.addHook('onSend', ({ raw }, reply, payload, done) => {
      if (!isDraining) return done(null, payload)
      const stream = http2Stream(raw)
      // HTTP/2 uses a GOAWAY frame and forbids the header.
      if (stream) stream.session?.close()
      // Node would close without answering the requests that are pipelined behind this one.
      else if (isLast(raw)) reply.header('connection', 'close')
      done(null, payload)
    })
    app.addHook('onResponse', ({ raw }, _reply, done) => {
      if (isClosing && isLast(raw)) connections.closeAnswered(raw.socket)
      done()
    })
  },
  { name: 'draining', fastify: '5.x' },
)
