import { setImmediate as turn } from 'node:timers/promises'
import { GatewayError } from '../errors/catalogue.ts'
import type { Session } from '../oidc-session/sessions.ts'
import { decideRenewal } from './policy.ts'
import { createRenewal, endUnlessRenewed, issuerUnavailable, type RenewalOptions } from './renewal.ts'
import { isoTime, type RenewalLog } from './renewal-log.ts'
import { createSingleFlight } from './single-flight.ts'

export interface Renewer {
  /**
   * The session with an access token that can be sent now. Waits for the issuer only when there is none.
   *
   * @throws GatewayError BFF_SESSION_ENDED when the issuer refused to renew, BFF_SESSION_REQUIRED when the session
   *   ended meanwhile, BFF_ISSUER_UNAVAILABLE when no usable token could be had in time
   * @throws StoreUnavailableError
   */
  withUsableToken(session: Session, log: RenewalLog): Promise<Session>
  /** Resolves when no renewal is under way. */
  idle(): Promise<void>
}

export interface RenewerOptions extends RenewalOptions {
  refreshBeforeExpirationMs: number
}

export function createRenewer(options: RenewerOptions): Renewer {
  const { sessions, clock, refreshBeforeExpirationMs, issuerTimeoutMs } = options
  const renew = createRenewal(options)
  const flights = createSingleFlight<Session>()

  return { withUsableToken, idle: flights.idle }

  async function withUsableToken(session: Session, log: RenewalLog): Promise<Session> {
    switch (decideRenewal(session.record.tokenSet, refreshBeforeExpirationMs, clock.now())) {
      case 'use':
        return session
      case 'use-and-renew':
        // What becomes of it is logged, and the next request sees it.
        startRenewal(session, log, { background: true }).catch(() => {})
        return session
      case 'wait':
        return newerThan(session, log)
      case 'ended':
        return orEnded(await endUnlessRenewed(sessions, session))
    }
  }

  async function newerThan(session: Session, log: RenewalLog): Promise<Session> {
    const renewed = await inTime(startRenewal(session, log, { background: false }))
    // A flight that a slower request began may end with the very tokens that this one has found too old.
    return renewed.version === session.version ? newerThan(session, log) : renewed
  }

  /** Runs on nobody's request: a browser that goes away does not cancel it. */
  function startRenewal(session: Session, log: RenewalLog, { background }: { background: boolean }) {
    return flights.run(session.id, async () => {
      const expiresAt = isoTime(session.record.tokenSet.expiresAt)
      log.debug({ event: 'token.renewal.due', expiresAt, forced: false, background })
      try {
        return await renew(session, log)
      } catch (error) {
        if (!(error instanceof GatewayError)) {
          log.warn({ event: 'token.renewal.failed', reason: 'store_unavailable', final: false, err: error })
        }
        throw error
      }
    })
  }

  /** A request waits no longer than this; the grant itself goes on, and its tokens are stored. */
  async function inTime(flight: Promise<Session>): Promise<Session> {
    const waiting = new AbortController()
    try {
      return await Promise.race([flight, late(waiting.signal)])
    } finally {
      waiting.abort()
    }
  }

  async function late(signal: AbortSignal): Promise<never> {
    await clock.sleep(issuerTimeoutMs, signal)
    // After a stall Node runs timers before it reads the answer that already lies in the socket.
    await turn()
    await turn()
    throw issuerUnavailable(1000)
  }
}

function orEnded(session: Session | undefined): Session {
  if (!session) throw new GatewayError('BFF_SESSION_ENDED')
  return session
}
