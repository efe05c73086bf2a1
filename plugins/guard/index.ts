import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type RequestGuardOptions, requestChecks } from './checks.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** False: the CSRF header isn't demanded here, as for what a browser loads by itself. Foreign origins are refused. */
    csrf?: boolean
    /** True: no session is needed here, so only requests that name the public URL's host are let through. */
    ownHost?: boolean
  }
}

/**
 * Lets through what the frontend sent, and nothing that another site made a browser send: a page elsewhere can't
 * set the header without a CORS preflight, which it doesn't get. Two scopes that have it need prefixes of their own.
 */
export default fp<RequestGuardOptions>(
  async (app, options) => {
    const { corsOrigins } = options
    const checks = requestChecks(options)

    app.addHook('onRequest', async (request) => {
      if (request.routeOptions.config?.ownHost) checks.host(request.host)
      checks.origin(request.raw)
    })
    // Between the two: a preflight comes without the header, and asks whether it may be set. An application that
    // answers preflights itself has done so by now.
    if (corsOrigins.length > 0 && !app.hasPlugin('@fastify/cors')) {
      await app.register(cors, { delegator: corsOptions(corsOrigins) })
    }
    app.addHook('onRequest', async ({ raw, routeOptions }) => {
      if (routeOptions.config?.csrf !== false) checks.header(raw)
    })
  },
  { name: 'request-guard', fastify: '5.x' },
)

/** To an origin of the list only. OPTIONS that is no preflight is an upstream's to answer. */
function corsOptions(origins: string[]) {
  return async ({ headers: { origin, ...headers } }: FastifyRequest): Promise<FastifyCorsOptions> => ({
    origin: origin !== undefined && origins.includes(origin) ? origin : false,
    credentials: true,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
    preflight: headers['access-control-request-method'] !== undefined,
    // Browsers keep the answer for so long, in seconds.
    maxAge: 600,
  })
}
