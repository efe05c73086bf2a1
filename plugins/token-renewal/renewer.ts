import { setImmediate as turn } from 'node:timers/promises'
import { GatewayError } from '../errors/catalogue.ts'
import { noMetrics } from '../observability/metrics.ts'
import type { Session } from '../oidc-session/sessions.ts'
import { createExpiringMap } from '../session-store/expiring-map.ts'
import { type SessionStore, StoreUnavailableError } from '../session-store/store.ts'
import { decideRenewal } from './policy.ts'
import {
  createRenewal,
  endUnlessRenewed,
  issuerUnavailable,
  type RenewalOptions,
  sessionEnding,
} from './renewal.ts'
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
  /**
   * After an upstream has answered 401 to the session's token: the session with a newer token, which somebody may
   * have brought already, or nothing when none can be had now. An upstream that refuses every token gets one forced
   * renewal per session and `refreshBeforeExpirationMs`.
   *
   * @param upstream a name for who refused
   * @throws GatewayError BFF_SESSION_ENDED, BFF_SESSION_REQUIRED
   */
  afterRefusal(session: Session, upstream: string, log: RenewalLog): Promise<Session | undefined>
  /** Resolves when no renewal is under way. */
  idle(): Promise<void>
}

export interface RenewerOptions extends RenewalOptions {
  store: RenewalOptions['store'] & Pick<SessionStore, 'claim'>
  refreshBeforeExpirationMs: number
  /** Of how many sessions this process remembers that it must leave the issuer alone. Default 10,000. */
  maxResting?: number
}

interface Flight {
  background?: boolean
  /** Renews although the token has time left, where this permits it. */
  forced?: () => Promise<boolean>
}

export function createRenewer(options: RenewerOptions): Renewer {
  const { sessions, store, clock, refreshBeforeExpirationMs, issuerTimeoutMs } = options
  const { metrics = noMetrics, maxResting = 10_000 } = options
  const renew = createRenewal(options)
  const onEnded = sessionEnding(metrics, options.events)
  const flights = createSingleFlight<Session | undefined>()
  /** Failed just now: nothing to gain from asking in the background, not even the store. */
  const resting = createExpiringMap<{ failed: true }>({ clock, maxEntries: maxResting })

  return { withUsableToken, afterRefusal, idle: flights.idle }

  async function withUsableToken(session: Session, log: RenewalLog): Promise<Session> {
    switch (decideRenewal(session.record.tokenSet, refreshBeforeExpirationMs, clock.now())) {
      case 'use':
        return session
      case 'use-and-renew':
        // What becomes of it is logged, and the next request sees it.
        if (!resting.get(session.id)) fly(session, log, { background: true }).catch(() => {})
        return session
      case 'wait':
        return orEnded(await inTime(sendable(session, log)))
      case 'ended':
        return orEnded(await endUnlessRenewed(sessions, session, () => noteExpiry(session, log)))
    }
  }

  async function afterRefusal(session: Session, upstream: string, log: RenewalLog) {
    if (session.record.tokenSet.refreshToken === undefined) return undefined
    const name = `forced-renewal:${session.id}:${upstream}`
    try {
      return await inTime(
        sendable(session, log, { forced: () => store.claim(name, refreshBeforeExpirationMs) }),
      )
    } catch (error) {
      // The browser gets the upstream's own answer then, which is true at least.
      if (error instanceof StoreUnavailableError) return undefined
      if (error instanceof GatewayError && error.code === 'BFF_ISSUER_UNAVAILABLE') return undefined
      throw error
    }
  }

  /**
   * Newer tokens that are still good when they have arrived.
   * @returns nothing when a forced renewal was not permitted
   */
  async function sendable(session: Session, log: RenewalLog, flight?: Flight): Promise<Session | undefined> {
    const askedAt = clock.now()
    let renewed = await newerThan(session, log, flight)
    while (renewed && isPast(renewed, askedAt)) renewed = await newerThan(renewed, log)
    return renewed
  }

  /** What was renewed before it was asked for may have run out since; what a grant has just brought is used. */
  function isPast({ record: { tokenSet, renewedAt } }: Session, askedAt: number): boolean {
    if (renewedAt !== undefined && renewedAt >= askedAt) return false
    return decideRenewal(tokenSet, refreshBeforeExpirationMs, clock.now()) === 'wait'
  }

  async function newerThan(
    session: Session,
    log: RenewalLog,
    flight: Flight = {},
  ): Promise<Session | undefined> {
    for (;;) {
      const joined = flights.current(session.id)
      const renewed = await (joined ?? fly(session, log, flight))
      // One that another request began may have ended with the very tokens that this one has found wanting.
      if (!joined || (renewed && renewed.version > session.version)) return renewed
    }
  }

  /** Runs on nobody's request: a browser that goes away does not cancel it. */
  function fly(
    session: Session,
    log: RenewalLog,
    { background = false, forced }: Flight,
  ): Promise<Session | undefined> {
    return flights.run(session.id, async () => {
      const expiresAt = isoTime(session.record.tokenSet.expiresAt)
      log.debug({ event: 'token.renewal.due', expiresAt, forced: forced !== undefined, background })
      try {
        return await renew(session, log, forced)
      } catch (error) {
        noteFailure(session, error, log)
        throw error
      }
    })
  }

  function noteExpiry(session: Session, log: RenewalLog): void {
    onEnded(session, 'expired')
    log.warn({ event: 'token.renewal.failed', reason: 'no_refresh_token', final: true })
  }

  function noteFailure({ id }: Session, error: unknown, log: RenewalLog): void {
    if (error instanceof GatewayError) {
      if (error.retryAfterMs !== undefined) resting.set(id, { failed: true }, error.retryAfterMs)
      return
    }
    const reason = error instanceof StoreUnavailableError ? 'store_unavailable' : 'internal_error'
    log.warn({ event: 'token.renewal.failed', reason, final: false, err: error })
  }

  /** A request waits no longer than this; the grant itself goes on, and its tokens are stored. */
  async function inTime<T>(renewed: Promise<T>): Promise<T> {
    const waiting = new AbortController()
    metrics.renewalWaiters(1)
    try {
      return await Promise.race([renewed, late(waiting.signal)])
    } finally {
      metrics.renewalWaiters(-1)
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
