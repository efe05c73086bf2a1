import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { asGatewayError, logError } from '../../plugins/errors/gateway-error.ts'
import { answerError, type ErrorsOptions } from '../../plugins/errors/index.ts'
import { openPrivatePort } from '../../plugins/private-port/index.ts'
import { checkToken, logCalls } from './calls.ts'
import { endAllSessions } from './end-all.ts'
import { sessions } from './sessions.ts'
import { status } from './status.ts'

declare module 'fastify' {
  interface FastifyInstance {
    administeredGateways: Administered[]
  }
}

export interface AdminOptions {
  host: string
  port?: number | undefined
  token?: string | undefined
  clock: Clock
  /** For the bodies of errors. */
  errors: ErrorsOptions
}

/** A gateway of this process. */
export interface Administered {
  publicUrl: URL
  /** As configured. */
  issuerUrl: URL
  app: FastifyInstance
}

/** The administrator's API, on a port of its own. */
export const admin = fp<AdminOptions>(
  async (app, { host, port, token, clock, errors }) => {
    const gateways: Administered[] = []
    app.decorate('administeredGateways', gateways)
    if (port === undefined || token === undefined) return

    const event = 'admin.listening'
    const server = openPrivatePort(app, { host, port, event, purpose: "the administrator's API", path: '' })
    const answer = answerError({ ...errors, corsOrigins: [] })
    server.setErrorHandler((thrown, request, reply) => {
      const error = asGatewayError(thrown)
      if (error instanceof GatewayError) logError(app.log.child({ reqId: request.id }), error)
      return answer(error, request, reply)
    })
    server.setNotFoundHandler(() => {
      throw new GatewayError('BFF_NOT_FOUND')
    })
    logCalls(server, app.log)
    checkToken(server, token)
    server.addHook('onRequest', async (_request, reply) => void reply.header('cache-control', 'no-store'))
    server.register(sessions, { gateways, log: app.log })
    server.register(endAllSessions, { gateways, log: app.log })
    server.register(status, { gateways, shared: app, clock })
  },
  { name: 'admin', fastify: '5.x', dependencies: ['session-store'] },
)

/** Lets the administrator's API, if there is one, manage the sessions of this gateway. */
export const administered = fp<Omit<Administered, 'app'>>(
  async (app, { publicUrl, issuerUrl }) => {
    app.administeredGateways.push({ publicUrl, issuerUrl, app })
  },
  { name: 'administered', fastify: '5.x', dependencies: ['admin', 'oidc-session', 'session-events'] },
)
