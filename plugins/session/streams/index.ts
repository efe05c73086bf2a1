import fp from 'fastify-plugin'
import type { Limits } from '../../../http/limits.ts'
import { createOpenStreams, type OpenStreams } from './open-streams.ts'

declare module 'fastify' {
  interface FastifyInstance {
    openStreams: OpenStreams
  }
}

/**
 * Event streams and WebSockets stay open indefinitely, so they are closed when their session ends, and when the gateway
 * shuts down: it does not wait for them, and browsers reconnect to another instance.
 */
export default fp<Pick<Limits, 'streamsPerSession'>>(
  async (app, { streamsPerSession }) => {
    const streams = createOpenStreams(app.sessions, streamsPerSession, (err) =>
      app.log.error({ err }, 'A session could not be watched'),
    )
    app.decorate('openStreams', streams)
    app.addHook('preClose', async () => streams.endAll())
  },
  { name: 'open-streams', fastify: '5.x', dependencies: ['oidc-session'] },
)
