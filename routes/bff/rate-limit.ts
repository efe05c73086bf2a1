import rateLimits from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { RouteOptions } from './options.ts'

/**
 * Limits how often one client calls what stands in this scope, all of it together. Counted in this process alone: a
 * count that all gateways share would cost every login a round trip, and protect no better against a flood.
 */
export async function rateLimit(app: FastifyInstance, { requestsPerMinute }: RouteOptions): Promise<void> {
  await app.register(rateLimits, {
    max: requestsPerMinute,
    timeWindow: 60_000,
    errorResponseBuilder: (_request, { ttl }) => new GatewayError('BFF_RATE_LIMITED', { retryAfterMs: ttl }),
    // The error handler sets Retry-After; how much is left is nobody's business.
    addHeaders: {
      'x-ratelimit-limit': false,
      'x-ratelimit-remaining': false,
      'x-ratelimit-reset': false,
      'retry-after': false,
    },
    addHeadersOnExceeding: {
      'x-ratelimit-limit': false,
      'x-ratelimit-remaining': false,
      'x-ratelimit-reset': false,
    },
  })
}
