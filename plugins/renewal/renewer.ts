import { createExpiringMap } from '../../lib/expiring-map.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import { noMetrics } from '../observability/metrics.ts'
import type { Session } from '../session/sessions.ts'
import { type SessionStore, StoreUnavailableError } from '../session-store/store.ts'
import { heldToken, isNewer, renewedWith } from './held-token.ts'
import { createPatience } from './patience.ts'
import { decideRenewal, type RenewalDecision } from './policy.ts'
import { atStore, createProgress, type Progress } from './progress.ts'
import { createRenewal, endUnlessRenewed, type RenewalOptions } from './renewal.ts'
import { isoTime, logAbout, type RenewalLog } from './renewal-log.ts'
import { createSingleFlight, type Flight } from './single-flight.ts'
import { issuerUnavailable } from './take-turns.ts'

export interface Renewer {
  /**
   * The session with an access token that can be sent now. Waits for the issuer only when there is none.
   *
   * @param target what the token is for. Unset: it is the session's own.
   * @throws GatewayError BFF_SESSION_ENDED when the issuer refused to renew, BFF_SESSION_REQUIRED when the session
   *   ended meanwhile, BFF_ISSUER_UNAVAILABLE when no usable token could be had in time
   * @throws StoreUnavailableError
   */
  withUsableToken(session: Session, log: RenewalLog, target?: TokenTarget): Promise<Session>
  /**
   * After an upstream has answered 401 to the session's token: the session with a newer token, which somebody may
   * have brought already, or nothing when none can be had now. An upstream that refuses every token gets one forced
   * renewal per session, target and `refreshBeforeExpirationMs`.
   *
   * @param upstream a name for who refused
   * @throws GatewayError BFF_SESSION_ENDED, BFF_SESSION_REQUIRED
   */
  afterRefusal(
    session: Session,
    upstream: string,
    log: RenewalLog,
    target?: TokenTarget,
  ): Promise<Session | undefined>
  /** Resolves when no renewal is under way. */
  idle(): Promise<void>
}

/** For an application's own call. */
export interface WantedToken {
  /** Unset: the session's own token. */
  target?: TokenTarget | undefined
  /** After an API has refused the last one. */
  forceRenewal?: boolean | undefined
}

export interface RenewerOptions extends RenewalOptions {
  store: RenewalOptions['store'] & Pick<SessionStore, 'claim'>
  refreshBeforeExpirationMs: number
  /** How long a request waits for the store, in milliseconds. Default: as long as for the issuer. */
  storeTimeoutMs?: number
  /** Of how many sessions this process remembers that it must leave the issuer alone. Default 10,000. */
  maxResting?: number
}

/** What a renewal is asked for. */
interface Wanted {
  target: TokenTarget | undefined
  background?: boolean
  /** Renews although the token has time left, where this permits it. */
  forced?: () => Promise<boolean>
}

export function createRenewer(options: RenewerOptions): Renewer {
  const { sessions, store, clock, refreshBeforeExpirationMs, issuerTimeoutMs } = options
  const { metrics = noMetrics, reportEnding, maxResting = 10_000, storeTimeoutMs = issuerTimeoutMs } = options
  const renew = createRenewal(options)
  const inTime = createPatience({ clock, issuerTimeoutMs, storeTimeoutMs, metrics })
  const flights = createSingleFlight<Session | undefined>(clock)
  /** Failed just now: nothing to gain from asking in the background, not even the store. */
  const resting = createExpiringMap<{ failed: true }>({ clock, maxEntries: maxResting })

  return {
    withUsableToken: (session, log, target) => withUsableToken(session, log, target),
    afterRefusal,
    idle: flights.idle,
  }

  /** @param progress of what waits for the token */
  async function withUsableToken(
    session: Session,
    log: RenewalLog,
    target?: TokenTarget,
    progress = createProgress(clock),
  ): Promise<Session> {
    switch (decide(session, target)) {
      case 'use':
        return session
      case 'use-and-renew':
        // What becomes of it is logged, and the next request sees it.
        if (!resting.get(flightKey(session, target))) {
          fly(session, log, { target, background: true }).result.catch(() => {})
        }
        return session
      case 'wait':
        return orEnded(await inTime(sendable(session, log, { target }, progress), progress))
      case 'ended': {
        const end = () => endUnlessRenewed(sessions, session, () => noteExpiry(session, log))
        return orEnded(await atStore(progress, end))
      }
    }
  }

  async function afterRefusal(session: Session, upstream: string, log: RenewalLog, target?: TokenTarget) {
    if (renewedWith(session.record, target) === undefined) return undefined
    const name = `forced-renewal:${flightKey(session, target)}:${upstream}`
    try {
      const forced = () => store.claim(name, refreshBeforeExpirationMs)
      const progress = createProgress(clock)
      return await inTime(sendable(session, log, { target, forced }, progress), progress)
    } catch (error) {
      // The browser gets the upstream's own answer then, which is true at least.
      if (error instanceof StoreUnavailableError) return undefined
      if (error instanceof GatewayError && error.code === 'BFF_ISSUER_UNAVAILABLE') return undefined
      throw error
    }
  }

  function decide({ record }: Session, target: TokenTarget | undefined): RenewalDecision {
    const held = heldToken(record, target)
    if (!held) return 'wait'
    const refreshToken = renewedWith(record, target)
    const decision = decideRenewal({ ...held, refreshToken }, refreshBeforeExpirationMs, clock.now())
    // Without its own token a session is over; without one for some API it is not.
    return decision === 'ended' && target ? 'wait' : decision
  }

  /**
   * Newer tokens that are still good when they have arrived.
   * @returns nothing when a forced renewal was not permitted
   */
  async function sendable(
    session: Session,
    log: RenewalLog,
    wanted: Wanted,
    progress: Progress,
  ): Promise<Session | undefined> {
    const { target } = wanted
    const askedAt = clock.now()
    let renewed = await newerThan(session, log, wanted, progress)
    while (renewed && isPast(renewed, askedAt, target))
      renewed = await newerThan(renewed, log, { target }, progress)
    return renewed
  }

  /** What was renewed before it was asked for may have run out since; what a grant has just brought is used. */
  function isPast(session: Session, askedAt: number, target: TokenTarget | undefined): boolean {
    const { renewedAt } = heldToken(session.record, target) ?? {}
    if (renewedAt !== undefined && renewedAt >= askedAt) return false
    return decide(session, target) === 'wait'
  }

  async function newerThan(
    session: Session,
    log: RenewalLog,
    wanted: Wanted,
    progress: Progress,
  ): Promise<Session | undefined> {
    for (;;) {
      const joined = flights.current(flightKey(session, wanted.target))
      const flight = joined ?? fly(session, log, wanted)
      progress.follow(flight.progress)
      const renewed = await flight.result
      // One that another request began may have ended with the very tokens that this one has found wanting.
      if (!joined || (renewed && isNewer(renewed, session, wanted.target))) return renewed
    }
  }

  /** Runs on nobody's request: a browser that goes away does not cancel it. */
  function fly(
    session: Session,
    requestLog: RenewalLog,
    { target, background = false, forced }: Wanted,
  ): Flight<Session | undefined> {
    const key = flightKey(session, target)
    const log = logAbout(target, requestLog)
    return flights.run(key, async (progress) => {
      const expiresAt = isoTime(heldToken(session.record, target)?.expiresAt)
      log.debug({ event: 'token.renewal.due', expiresAt, forced: forced !== undefined, background })
      try {
        // What is given in exchange must be good itself. And without a refresh token a session ends with its own token.
        const needsOwn = target?.grant === 'exchange' || session.record.tokenSet.refreshToken === undefined
        if (target && needsOwn) await withUsableToken(session, requestLog, undefined, progress)
        const rested = resting.remainingMs(key)
        if (target && rested > 0) throw issuerUnavailable(rested)
        return await renew({ seen: session, target, log, progress, permit: forced })
      } catch (error) {
        noteFailure(key, error, log)
        throw error
      }
    })
  }

  function noteExpiry(session: Session, log: RenewalLog): void {
    log.warn({ event: 'token.renewal.failed', reason: 'no_refresh_token', final: true, retryInMs: null })
    reportEnding(session, 'expired', log)
  }

  function noteFailure(key: string, error: unknown, log: RenewalLog): void {
    if (error instanceof GatewayError) {
      if (error.retryAfterMs !== undefined) resting.set(key, { failed: true }, error.retryAfterMs)
      return
    }
    const reason = error instanceof StoreUnavailableError ? 'store_unavailable' : 'internal_error'
    // The next request tries again.
    log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs: 0, err: error })
  }
}

function orEnded(session: Session | undefined): Session {
  if (!session) throw new GatewayError('BFF_SESSION_ENDED')
  return session
}

/** Of each session's tokens one renewal is under way; its grants take turns, for they share a refresh token. */
function flightKey({ id }: Session, target: TokenTarget | undefined): string {
  return target ? `${id} ${target.key}` : id
}
