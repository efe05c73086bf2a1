import fp from 'fastify-plugin'
import type { Limits } from '../../../http/limits.ts'
import { createOpenStreams, type OpenStreams } from './open-streams.ts'

declare module 'fastify' {
  interface FastifyInstance {
    openStreams: OpenStreams
  }
}

/**
 * Event streams and WebSockets have no end of their own: they end with their session, and when the gateway closes, so
 * that it need not wait for them and browsers open them again elsewhere.
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
