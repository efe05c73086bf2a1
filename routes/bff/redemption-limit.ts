import { createTally } from '../../lib/tally.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { LoginError } from '../../plugins/issuer/login-error.ts'
import type { RouteOptions } from './options.ts'

/** Runs a code's redemption, unless its client, or all together, have had too many refused. */
export type RedemptionLimit = <T>(client: string, redeem: () => Promise<T>) => Promise<T>

/** Redemptions of one client at the same time. Behind a proxy that is not trusted, all users are one client. */
const maxUnderWay = 300
/** All clients of this process together may have as many times as many codes refused as one. */
const clientsInAll = 10
const all = 'all'

/**
 * Whoever opens `/bff/login` gets a transaction, and can then send made-up codes, each of which costs the issuer a
 * request in our name. An issuer that throttles us for it would decline renewals too. So codes that it refuses are
 * counted per client and in all; renewals are not concerned.
 *
 * @throws GatewayError BFF_RATE_LIMITED
 */
export function createRedemptionLimit({ clock, refusedCodesPerMinute }: RouteOptions): RedemptionLimit {
  const ofClient = createTally(clock, refusedCodesPerMinute)
  const ofAll = createTally(clock, clientsInAll * refusedCodesPerMinute)
  const underWay = new Map<string, number>()

  return async (client, redeem) => {
    const waitMs = Math.max(ofClient.waitMs(client), ofAll.waitMs(all))
    if (waitMs > 0) throw new GatewayError('BFF_RATE_LIMITED', { retryAfterMs: waitMs })
    const others = underWay.get(client) ?? 0
    if (others >= maxUnderWay) throw new GatewayError('BFF_RATE_LIMITED', { retryAfterMs: 1000 })
    underWay.set(client, others + 1)
    try {
      return await redeem()
    } catch (error) {
      if (error instanceof LoginError && error.isRefusal) {
        ofClient.count(client)
        ofAll.count(all)
      }
      throw error
    } finally {
      const left = (underWay.get(client) ?? 1) - 1
      if (left > 0) underWay.set(client, left)
      else underWay.delete(client)
    }
  }
}
