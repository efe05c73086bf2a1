import type { FastifyRequest } from 'fastify'
import { clientKey } from '../../http/client-address.ts'
import { createTally } from '../../lib/tally.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import { LoginError } from '../../plugins/issuer/login-error.ts'
import type { LoginTransaction } from '../../plugins/login/login-transaction.ts'
import type { RouteOptions } from './options.ts'

/** Redeems a code, unless too many codes of this client, or of all clients of its kind, were refused. */
export type RedemptionLimit = <T>(client: RedeemingClient, redeem: () => Promise<T>) => Promise<T>

export interface RedeemingClient {
  key: string
  /** Has logged in here before. */
  isKnown: boolean
}

/**
 * A browser that had a session when the login began is identified by that, and not by an address that others share: they
 * can't make it wait. Only a login that succeeded gives such a session, so an attacker can't make up more of them.
 */
export function redeemingClient(request: FastifyRequest, { replaces }: LoginTransaction): RedeemingClient {
  if (replaces) return { key: `session ${replaces.id}`, isKnown: true }
  return { key: clientKey(request), isKnown: false }
}

/** Maximum concurrent redemptions per client. Behind an untrusted proxy, all users count as one client. */
const maxUnderWay = 300
/** The limit for all clients of a kind together, as a multiple of that for one. */
const clientsInAll = 10

/**
 * Limits requests with invalid codes. An attacker can open `/bff/login` to get a transaction and then send invalid
 * codes, each of which causes a token request by this gateway. If the issuer throttled the gateway for that, renewals
 * would fail, too. So refused codes are counted per client and in total; renewals are not limited. Known clients are
 * counted apart, so that users who are signed in can log in again during an attack by others.
 *
 * @throws GatewayError BFF_RATE_LIMITED
 */
export function createRedemptionLimit({ clock, refusedCodesPerMinute }: RouteOptions): RedemptionLimit {
  const ofClient = createTally(clock, refusedCodesPerMinute)
  const ofAll = createTally(clock, clientsInAll * refusedCodesPerMinute)
  const underWay = new Map<string, number>()

  return async ({ key: client, isKnown }, redeem) => {
    const all = isKnown ? 'known' : 'unknown'
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
