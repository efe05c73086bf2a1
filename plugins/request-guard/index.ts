import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { GatewayError } from '../errors/catalogue.ts'
import { isForeign, isWebSocketUpgrade } from './origin.ts'

export interface RequestGuardOptions {
  /** Lower case. */
  csrfHeader: string
  ownOrigin: string
  /** Other origins whose pages may call with credentials. */
  corsOrigins: string[]
}

/**
 * Lets through what the frontend sent, and nothing that another site made a browser send: a page elsewhere can't
 * set the header without a CORS preflight, which it doesn't get.
 */
export default fp<RequestGuardOptions>(
  async (app, { csrfHeader, ownOrigin, corsOrigins }) => {
    const others = new Set(corsOrigins)

    app.addHook('onRequest', async ({ headers, raw }) => {
      const secFetchSite = headers['sec-fetch-site']
      const site = typeof secFetchSite === 'string' ? secFetchSite : undefined
      if (isForeign({ origin: headers.origin, secFetchSite: site }, ownOrigin, others)) {
        throw new GatewayError('BFF_CSRF_REJECTED', { details: 'The request comes from a foreign origin' })
      }
      // Scripts can't set headers on a WebSocket, and CORS doesn't apply to it: its origin stands for both.
      if (isWebSocketUpgrade(raw) && headers.origin === undefined) {
        throw new GatewayError('BFF_CSRF_REJECTED', { details: 'A WebSocket needs an Origin' })
      }
    })
    // Between the two: a preflight comes without the header, and asks whether it may be set.
    if (corsOrigins.length > 0) await app.register(cors, { delegator: corsOptions(corsOrigins) })

    app.addHook('onRequest', async ({ headers, raw }) => {
      if (headers[csrfHeader] === '1' || isWebSocketUpgrade(raw)) return
      throw new GatewayError('BFF_CSRF_REJECTED', { details: `The header ${csrfHeader}: 1 is missing` })
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
