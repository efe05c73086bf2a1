import fp from 'fastify-plugin'
import type { Clock } from '../../lib/clock.ts'
import { createIssuer } from './create-issuer.ts'
import type { Issuer, IssuerOptions } from './issuer.ts'
import { issuerLog } from './issuer-log.ts'

declare module 'fastify' {
  interface FastifyInstance {
    issuer: Issuer
  }
}

export default fp<IssuerOptions & { clock: Clock }>(
  async (app, { clock, ...options }) => {
    const closing = new AbortController()
    const issuer = createIssuer(options, clock, issuerLog(app.log, options.issuer), app.tracing)
    app.decorate('issuer', issuer)
    // Not awaited: an issuer that is down delays readiness, not the start.
    app.addHook('onListen', async () => void issuer.loadMetadata(closing.signal))
    app.addHook('onClose', async () => closing.abort())
  },
  { name: 'issuer', fastify: '5.x', dependencies: ['tracing'] },
)
