import type { FastifyRequest } from 'fastify'
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
    /** The route belongs to the gateway, not to the application that has registered it. Set in applications only. */
    ofGateway?: boolean
  }
}

export interface OverloadOptions {
  /** Origins whose preflights are answered. */
  corsOrigins: string[]
  /** In an application: refuses only the gateway's own routes. */
  ownRoutesOnly?: boolean
  /** Called for each refused request. */
  onRefused(): void
  /** Unset: measured, once the server listens. */
  isOverloaded?: (() => boolean) | undefined
}

/** Refuses requests before any work is done for them while the event loop is late. Register it first. */
export default fp<OverloadOptions>(
  async (app, { corsOrigins, ownRoutesOnly = false, onRefused, isOverloaded }) => {
    const meter = createOverloadMeter({ now: () => performance.now(), cpuMs })
    const isRefusing = isOverloaded ?? meter.isOverloaded
    let isListening = isOverloaded !== undefined
    /** Whether the current overload has been logged: one line for each overload. */
    let isLogged = false

    app.addHook('onRequest', (request, _reply, done) => {
      if (!isListening || !isRefusing()) return done()
      const { config } = request.routeOptions
      if (
        config.answersWhenOverloaded ||
        (ownRoutesOnly && !config.ofGateway) ||
        isAllowedPreflight(request, corsOrigins)
      )
        return done()
      onRefused()
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

/** Browsers send no request with the CSRF header before its preflight succeeds, so a script could not read the refusal. */
function isAllowedPreflight({ method, headers }: FastifyRequest, corsOrigins: string[]): boolean {
  const { origin, 'access-control-request-method': requestMethod } = headers
  return (
    method === 'OPTIONS' &&
    requestMethod !== undefined &&
    origin !== undefined &&
    corsOrigins.includes(origin)
  )
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
