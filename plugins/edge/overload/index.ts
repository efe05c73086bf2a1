import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { GatewayError } from '../../errors/catalogue.ts'
import { createOverloadMeter, tickMs } from './meter.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The route answers even when the event loop is overloaded. For probes: restarting or removing an overloaded instance
     * moves its load to the others. And for logout notifications of the issuer, which are not repeated.
     */
    answersWhenOverloaded?: boolean
  }
}

export interface OverloadOptions {
  /** Origins whose pages may read the refusal: the CORS plugin runs only later. */
  corsOrigins: string[]
  /** Called for each refused request. */
  onRefused(): void
  /** Unset: measured, once the server listens. */
  isOverloaded?: (() => boolean) | undefined
}

/** Refuses requests before any work is done for them while the event loop is late. Register it first. */
export default fp<OverloadOptions>(
  async (app, { corsOrigins, onRefused, isOverloaded }) => {
    const meter = createOverloadMeter({ now: () => performance.now(), cpuMs })
    const isRefusing = isOverloaded ?? meter.isOverloaded
    let isListening = isOverloaded !== undefined
    /** Whether the current overload has been logged: one line for each overload. */
    let isLogged = false

    app.addHook('onRequest', (request, reply, done) => {
      if (!isListening || !isRefusing() || request.routeOptions.config.answersWhenOverloaded) return done()
      onRefused()
      addCorsHeaders(reply, request.headers.origin, corsOrigins)
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

function addCorsHeaders(reply: FastifyReply, origin: string | undefined, corsOrigins: string[]): void {
  if (corsOrigins.length === 0) return
  // Hooks of an application may have set it already.
  reply.header('vary', [reply.getHeader('vary') ?? [], 'Origin'].flat().join(', '))
  if (origin === undefined || !corsOrigins.includes(origin)) return
  reply.headers({
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': 'retry-after',
  })
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
