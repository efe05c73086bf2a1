import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { LoginError } from '../../plugins/issuer/issuer.ts'
import { type CountedClient, createClientTally } from './client-tally.ts'
import type { RouteOptions } from './options.ts'

/** Redeems a code, unless too many codes of this client, or of all clients of its kind, were refused. */
export type RedemptionLimit = <T>(client: CountedClient, redeem: () => Promise<T>) => Promise<T>

/** Maximum concurrent redemptions per client. Behind an untrusted proxy, all users count as one client. */
const maxUnderWay = 300

/**
 * Limits requests with invalid codes. An attacker can open `/bff/login` to get a transaction and then send invalid
 * codes, each of which causes a token request by this gateway. If the issuer throttled the gateway for that, renewals
 * would fail, too. So refused codes are counted per client and in total; renewals are not limited. Known clients are
 * counted apart, so that users who are signed in can log in again during an attack by others.
 *
 * @throws GatewayError BFF_RATE_LIMITED
 */
export function createRedemptionLimit({
  clock,
  refusedCodesPerMinute,
}: Pick<RouteOptions, 'clock' | 'refusedCodesPerMinute'>): RedemptionLimit {
  const refused = createClientTally(clock, refusedCodesPerMinute)
  const underWay = new Map<string, number>()

  return async (client, redeem) => {
    refused.check(client)
    const { key } = client
    const others = underWay.get(key) ?? 0
    if (others >= maxUnderWay) throw new GatewayError('BFF_RATE_LIMITED', { retryAfterMs: 1000 })
    underWay.set(key, others + 1)
    try {
      return await redeem()
    } catch (error) {
      if (error instanceof LoginError && error.isRefusal) refused.count(client)
      throw error
    } finally {
      const left = (underWay.get(key) ?? 1) - 1
      if (left > 0) underWay.set(key, left)
      else underWay.delete(key)
    }
  }
}
