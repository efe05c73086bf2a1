import rateLimits from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import { clientKey } from '../../http/client-address.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { RouteOptions } from './options.ts'

/**
 * Limits the requests of one client to all routes of this scope together. With Redis, all gateways share the counts,
 * which are stored under a hash of the client's address for a minute. While Redis is down there is no limit, so that
 * users can still log in.
 *
 * @param scope name of the routes that share one count
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
    // The error handler sets Retry-After; clients don't need the other headers.
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
