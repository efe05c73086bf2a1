import fp from 'fastify-plugin'
import { noMetrics } from '../observability/metrics.ts'
import { type CreateStoreOptions, createStore } from './create-store.ts'
import { measured } from './measured.ts'
import type { RedisClient } from './redis-client.ts'
import type { SessionStore } from './store.ts'

declare module 'fastify' {
  interface FastifyInstance {
    sessionStore: SessionStore
    /** For what else gateways share. Unset: there is no Redis. A command fails soon while it is down. */
    readonly sharedRedis: RedisClient | undefined
  }
}

export default fp<CreateStoreOptions>(
  async (app, options) => {
    const { store: plain, redis } = createStore(options)
    const store = app.metrics === noMetrics ? plain : measured(plain, app.metrics.storeAnswered)
    app.decorate('sessionStore', store)
    app.decorate('sharedRedis', { getter: () => redis })
    app.addHook('onClose', () => store.close())
  },
  { name: 'session-store', fastify: '5.x', dependencies: ['observability'] },
)
