import fp from 'fastify-plugin'
import { noMetrics } from '../observability/metrics.ts'
import { type CreateStoreOptions, createStore } from './create-store.ts'
import { measured, traced } from './measured.ts'
import { createReadiness } from './readiness.ts'
import type { RedisClient } from './redis-client.ts'
import { createRedisLog } from './redis-log.ts'
import type { SessionStore } from './store.ts'

declare module 'fastify' {
  interface FastifyInstance {
    sessionStore: SessionStore
    /** Whether sessions can be read and written now, for readiness probes. Answers within a second. */
    storeIsReady(): Promise<boolean>
    /** For other data that gateways share. Unset: no Redis is configured. Commands fail quickly while it is down. */
    readonly sharedRedis: RedisClient | undefined
    /** One sentence for each problem of the store that does not prevent working. */
    storeWarnings(): string[]
  }
}

const evictionLoggedEveryMs = 60_000

export default fp<Omit<CreateStoreOptions, 'onEvicted'>>(
  async (app, options) => {
    const {
      store: plain,
      redis,
      warnings,
    } = createStore({ ...options, onEvicted: reportEviction }, (target) =>
      createRedisLog(app.log, target, app.metrics),
    )
    const timed = app.metrics === noMetrics ? plain : measured(plain, app.metrics.storeAnswered)
    const store = app.tracing.isOn ? traced(timed, app.tracing, redis && 'redis') : timed
    app.decorate('sessionStore', store)
    if (plain.count() !== undefined) app.metrics.sessionsActive(() => plain.count() ?? 0)
    const readiness = createReadiness(store, options.clock, reportReadiness)
    app.decorate('storeIsReady', readiness.isReady)
    app.decorate('sharedRedis', { getter: () => redis })
    app.decorate('storeWarnings', () => [...readiness.warnings(), ...warnings()])
    app.addHook('onClose', () => store.close())

    let evictionLoggedAt = Number.NEGATIVE_INFINITY
    function reportEviction(): void {
      app.metrics.sessionEnded('evicted')
      if (options.clock.monotonic() - evictionLoggedAt < evictionLoggedEveryMs) return
      evictionLoggedAt = options.clock.monotonic()
      app.log.warn(
        { event: 'session.evicted' },
        'The session memory is full: the least recently used sessions are evicted. Set REDIS_URL to store more',
      )
    }

    function reportReadiness(err?: unknown): void {
      if (err === undefined)
        app.log.info({ event: 'store.ready' }, 'The session store can be read and written')
      else app.log.warn({ event: 'store.not_ready', err }, 'The session store can not be read and written')
    }
  },
  { name: 'session-store', fastify: '5.x', dependencies: ['observability', 'tracing'] },
)
