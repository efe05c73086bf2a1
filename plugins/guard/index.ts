import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { GatewayOptions } from '../../config/index.ts'
import { exposedErrorHeaders } from '../errors/error-headers.ts'
import { type RequestCheckOptions, requestChecks } from './checks.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** False: the CSRF header is not required here, as for images and navigation. Foreign origins are still refused. */
    csrf?: boolean
    /** True: no session is needed here, so requests must name the public URL's host. */
    ownHost?: boolean
  }
}

export type RequestGuardOptions = RequestCheckOptions & Pick<GatewayOptions, 'corsExposedHeaders'>

/**
 * Accepts requests from the frontend only, and none that another site made a browser send (CSRF): other sites can't set
 * the header without a CORS preflight, which is refused. Two scopes that register this plugin need different prefixes.
 */
export default fp<RequestGuardOptions>(
  async (app, options) => {
    const { corsOrigins } = options
    const checks = requestChecks(options)

    app.addHook('onRequest', (request, _reply, done) => {
      if (request.routeOptions.config?.ownHost) checks.host(request.host)
      checks.origin(request.raw)
      done()
    })
    // Between the two checks, since a preflight has no CSRF header. An application with @fastify/cors has answered
    // preflights already.
    if (corsOrigins.length > 0 && !app.hasPlugin('@fastify/cors')) {
      await app.register(cors, { delegator: corsOptions(options) })
    }
    app.addHook('onRequest', ({ raw, routeOptions }, _reply, done) => {
      if (routeOptions.config?.csrf !== false) checks.header(raw)
      done()
    })
  },
  { name: 'request-guard', fastify: '5.x' },
)

/** Grants CORS to listed origins only. An OPTIONS request that is no preflight goes to the upstream. */
function corsOptions({ corsOrigins, corsExposedHeaders }: RequestGuardOptions) {
  const exposedHeaders = [...new Set([...exposedErrorHeaders, ...corsExposedHeaders])]
  return async ({ headers: { origin, ...headers } }: FastifyRequest): Promise<FastifyCorsOptions> => ({
    origin: origin !== undefined && corsOrigins.includes(origin) ? origin : false,
    credentials: true,
    exposedHeaders,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
    preflight: headers['access-control-request-method'] !== undefined,
    // How long browsers cache a preflight's answer, in seconds.
    maxAge: 600,
  })
}
