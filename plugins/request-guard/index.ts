import fp from 'fastify-plugin'
import { GatewayError } from '../errors/catalogue.ts'
import { isForeign } from './origin.ts'

export interface RequestGuardOptions {
  /** Lower case. */
  csrfHeader: string
  /** Our own and those allowed by CORS. */
  allowedOrigins: string[]
}

/**
 * Lets through what the frontend sent, and nothing that another site made a browser send: a page elsewhere can't
 * set the header without a CORS preflight, which it doesn't get.
 */
export default fp<RequestGuardOptions>(
  async (app, { csrfHeader, allowedOrigins }) => {
    const allowed = new Set(allowedOrigins)
    app.addHook('onRequest', async ({ headers }) => {
      if (headers[csrfHeader] !== '1') {
        throw new GatewayError('BFF_CSRF_REJECTED', { details: `The header ${csrfHeader}: 1 is missing` })
      }
      const secFetchSite = headers['sec-fetch-site']
      const site = typeof secFetchSite === 'string' ? secFetchSite : undefined
      if (isForeign({ origin: headers.origin, secFetchSite: site }, allowed)) {
        throw new GatewayError('BFF_CSRF_REJECTED', { details: 'The request comes from a foreign origin' })
      }
    })
  },
  { name: 'request-guard', fastify: '5.x' },
)
