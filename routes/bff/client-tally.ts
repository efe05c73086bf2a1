import type { FastifyRequest } from 'fastify'
import { clientKey } from '../../http/client-address.ts'
import type { Clock } from '../../lib/clock.ts'
import { createTally } from '../../lib/tally.ts'
import { GatewayError } from '../../plugins/errors/catalogue.ts'
import type { SessionReference } from '../../plugins/session/session-reference.ts'

export interface CountedClient {
  key: string
  /** Has logged in here before. */
  isKnown: boolean
}

/**
 * A browser with the cookie of a session is identified by that, and not by an address that others share: they can't make
 * it wait. Whether the session still exists is not looked up: each such cookie has cost a login that succeeded.
 *
 * @param session of the request, or of the one that began its login
 */
export function countedClient(request: FastifyRequest, session: SessionReference | undefined): CountedClient {
  if (session) return { key: `session ${session.id}`, isKnown: true }
  return { key: clientKey(request), isKnown: false }
}

/** The limit for all clients of a kind together, as a multiple of that for one. */
const clientsInAll = 10

/**
 * Counts something per client, and for all known and all unknown ones together, so that users who are signed in don't
 * wait because of others.
 */
export function createClientTally(clock: Clock, perMinute: number) {
  const ofClient = createTally(clock, perMinute)
  const ofAll = createTally(clock, clientsInAll * perMinute)
  const kind = ({ isKnown }: CountedClient) => (isKnown ? 'known' : 'unknown')

  return {
    /** @throws GatewayError BFF_RATE_LIMITED */
    check(client: CountedClient): void {
      const waitMs = Math.max(ofClient.waitMs(client.key), ofAll.waitMs(kind(client)))
      if (waitMs > 0) throw new GatewayError('BFF_RATE_LIMITED', { retryAfterMs: waitMs })
    },

    count(client: CountedClient): void {
      ofClient.count(client.key)
      ofAll.count(kind(client))
    },
  }
}
