import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { rememberSignOut } from '../../login/ended-sid.ts'
import {
  createEndingReport,
  createFoundEndingReport,
  createSessionEvents,
  createUnreadEndingsReport,
  type ReportEnding,
  type ReportFoundEnding,
  type ReportUnreadEndings,
  type SessionEvents,
  type SessionHooks,
} from './session-events.ts'

declare module 'fastify' {
  interface FastifyInstance {
    sessionEvents: SessionEvents<FastifyRequest>
    /** Must be called once for each session that this process has ended. */
    reportEnding: ReportEnding
    reportUnreadEndings: ReportUnreadEndings
    reportFoundEnding: ReportFoundEnding
  }
}

/** Calls the application's session hooks. */
export default fp<SessionHooks<FastifyRequest>>(
  async (app, hooks) => {
    const events = createSessionEvents(hooks, (hook, err) => {
      app.log.error({ event: 'hook.failed', hook, err }, `${hook} of the application failed`)
    })
    const sessionEvents: SessionEvents<FastifyRequest> = {
      ...events,
      ended(session, reason) {
        const { issuer, sid } = session
        const { clientId } = app.issuer
        // Not awaited: the session has ended in any case. If this fails, a later front-channel notice gets 400.
        if (sid !== undefined) rememberSignOut(app.sessionStore, { issuer, clientId, sid }).catch(() => {})
        events.ended(session, reason)
      },
    }
    app.decorate('sessionEvents', sessionEvents)
    const { metrics } = app
    app.decorate('reportEnding', createEndingReport({ metrics, events: sessionEvents }))
    app.decorate('reportUnreadEndings', createUnreadEndingsReport({ metrics, events: sessionEvents }))
    app.decorate('reportFoundEnding', createFoundEndingReport({ metrics }))
  },
  { name: 'session-events', fastify: '5.x', dependencies: ['issuer', 'session-store', 'observability'] },
)
