import fp from 'fastify-plugin'
import type { Limits } from '../../../http/limits.ts'
import { type FoundEndReason, isFoundEnd } from '../found-end.ts'
import { logFields, type Session } from '../session.ts'
import type { Sessions } from '../sessions.ts'
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
    const follow: Sessions['follow'] = async (session, signal, onChanged) => {
      const reason = await app.sessions.follow(session, signal, onChanged)
      // Not awaited: the streams end at once.
      if (isFoundEnd(reason)) void report(session, reason)
      return reason
    }
    const streams = createOpenStreams({ follow }, streamsPerSession, (err) =>
      app.log.error({ err }, 'A session could not be watched'),
    )
    app.decorate('openStreams', streams)
    app.addHook('preClose', async () => streams.endAll())

    async function report(session: Session, reason: FoundEndReason): Promise<void> {
      const isFirst = await app.sessions.claimFoundEnd(session).catch(() => false)
      if (isFirst) app.reportFoundEnding({ reason, ...logFields(session) }, app.log)
    }
  },
  { name: 'open-streams', fastify: '5.x', dependencies: ['oidc-session', 'session-events'] },
)
