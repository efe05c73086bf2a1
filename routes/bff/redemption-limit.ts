import { createTally } from '../../lib/tally.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { LoginError } from '../../plugins/issuer/login-error.ts'
import type { RouteOptions } from './options.ts'

/** Redeems a code, unless too many codes of this client, or of all clients, were refused. */
export type RedemptionLimit = <T>(client: string, redeem: () => Promise<T>) => Promise<T>

/** Maximum concurrent redemptions per client. Behind an untrusted proxy, all users count as one client. */
const maxUnderWay = 300
/** The limit for all clients together, as a multiple of that for one. */
const clientsInAll = 10
const all = 'all'

/**
 * Limits requests with invalid codes. An attacker can open `/bff/login` to get a transaction and then send invalid
 * codes, each of which causes a token request by this gateway. If the issuer throttled the gateway for that, renewals
 * would fail, too. So refused codes are counted per client and in total; renewals are not limited.
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
