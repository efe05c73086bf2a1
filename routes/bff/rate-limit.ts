import rateLimits from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import { clientKey } from '../../http/client-address.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { RouteOptions } from './options.ts'

/**
 * Limits how often one client calls what stands in this scope, all of it together. With a Redis all gateways count
 * together there, under a hash of the client's address and for a minute. While it is down nobody counts: who may log in is not
 * this limit's to decide.
 *
 * @param scope a name for what is counted together
 */
export async function rateLimit(
  app: FastifyInstance,
  scope: string,
  { requestsPerMinute }: RouteOptions,
): Promise<void> {
  await app.register(rateLimits, {
    max: requestsPerMinute,
    keyGenerator: clientKey,
    timeWindow: 60_000,
    ...(app.sharedRedis && {
      redis: app.sharedRedis,
      nameSpace: `bff:rate-limit:${scope}:`,
      skipOnError: true,
    }),
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
