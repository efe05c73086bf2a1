import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { GatewayError } from '../../errors/catalogue.ts'
import { createOverloadMeter, tickMs } from './meter.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * For probes: an instance that is restarted or taken out for being overloaded leaves its load to the others. And for
     * notices of the issuer, which are not sent again.
     */
    answersWhenOverloaded?: boolean
  }
}

export interface OverloadOptions {
  /** Whose pages may read that they are refused: what answers for them otherwise comes only later. */
  corsOrigins: string[]
  /** Called for each request that is refused. */
  onRefused(): void
  /** Unset: measured, from the moment on when the server listens. */
  isOverloaded?: (() => boolean) | undefined
}

/** Refuses requests before any work is done for them while the event loop is late. To be registered first. */
export default fp<OverloadOptions>(
  async (app, { corsOrigins, onRefused, isOverloaded }) => {
    const meter = createOverloadMeter({ now: () => performance.now(), cpuMs })
    const isRefusing = isOverloaded ?? meter.isOverloaded
    let isListening = isOverloaded !== undefined
    /** One line of the log for each time that it lasts. */
    let isLogged = false

    app.addHook('onRequest', (request, reply, done) => {
      if (!isListening || !isRefusing() || request.routeOptions.config.answersWhenOverloaded) return done()
      onRefused()
      allowReading(reply, request.headers.origin, corsOrigins)
      if (!isLogged) {
        isLogged = true
        app.log.warn({ event: 'event_loop.overloaded', lateMs: Math.round(meter.latenessMs()) })
      }
      done(new GatewayError('BFF_OVERLOADED'))
    })

    let timer: NodeJS.Timeout | undefined
    app.addHook('onListen', async () => {
      meter.tick()
      isListening = true
      timer ??= setInterval(() => {
        meter.tick()
        if (!isRefusing()) isLogged = false
      }, tickMs).unref()
    })
    app.addHook('onClose', async () => clearInterval(timer))
  },
  { name: 'overload', fastify: '5.x' },
)

function allowReading(reply: FastifyReply, origin: string | undefined, corsOrigins: string[]): void {
  if (corsOrigins.length === 0) return
  // An application's own hooks may have said something before.
  reply.header('vary', [reply.getHeader('vary') ?? [], 'Origin'].flat().join(', '))
  if (origin === undefined || !corsOrigins.includes(origin)) return
  reply.header('access-control-allow-origin', origin).header('access-control-allow-credentials', 'true')
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
