import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { createSessionEvents, type SessionEvents, type SessionHooks } from './session-events.ts'

declare module 'fastify' {
  interface FastifyInstance {
    sessionEvents: SessionEvents<FastifyRequest>
  }
}

/** Tells the application what becomes of its users' sessions. */
export default fp<SessionHooks<FastifyRequest>>(
  async (app, hooks) => {
    const events = createSessionEvents(hooks, (hook, err) => {
      app.log.error({ event: 'hook.failed', hook, err }, `${hook} of the application failed`)
    })
    app.decorate('sessionEvents', events)
  },
  { name: 'session-events', fastify: '5.x' },
)
