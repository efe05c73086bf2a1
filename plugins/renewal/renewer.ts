import { createExpiringMap } from '../../lib/expiring-map.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import { noMetrics } from '../observability/metrics.ts'
import type { Session } from '../session/sessions.ts'
import { type SessionStore, StoreUnavailableError } from '../session-store/store.ts'
import { heldToken, isNewer, renewalCredential } from './held-token.ts'
import { decideRenewal, type RenewalDecision } from './policy.ts'
import { atStore, createProgress, type Progress } from './progress.ts'
import { createRenewal, endUnlessRenewed, type RenewalOptions } from './renewal.ts'
import { issuerUnavailable } from './renewal-lock.ts'
import { isoTime, logAbout, type RenewalLog } from './renewal-log.ts'
import { createSingleFlight, type Flight } from './single-flight.ts'
import { createWaitLimit } from './wait-limit.ts'

export interface Renewer {
  /**
   * The session with an access token that can be sent now. Waits for the issuer only if there is none.
   *
   * @param target unset: the session's own token
   * @throws GatewayError BFF_SESSION_ENDED when the issuer refused to renew, BFF_SESSION_REQUIRED when the session
   *   ended meanwhile, BFF_ISSUER_UNAVAILABLE when no usable token was available in time
   * @throws StoreUnavailableError
   */
  withUsableToken(session: Session, log: RenewalLog, target?: TokenTarget): Promise<Session>
  /**
   * After an upstream has answered 401 to the session's token: the session with a newer token, stored meanwhile or from
   * a forced renewal, or undefined if there is none now. At most one forced renewal per session, target, upstream and
   * `refreshBeforeExpirationMs`, for upstreams that refuse every token.
   *
   * @param upstream name of the upstream, for the limit of forced renewals
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

/** Token for an application's own call. */
export interface WantedToken {
  /** Unset: the session's own token. */
  target?: TokenTarget | undefined
  /** Set after an API has refused the last one. */
  forceRenewal?: boolean | undefined
}

export interface RenewerOptions extends RenewalOptions {
  store: RenewalOptions['store'] & Pick<SessionStore, 'claim'>
  refreshBeforeExpirationMs: number
  /** How long a request waits for the store, in milliseconds. Default: as long as for the issuer. */
  storeTimeoutMs?: number
  /** Maximum number of tokens in back-off that this process remembers. Default 10,000. */
  maxBackingOff?: number
}

interface Wanted {
  target: TokenTarget | undefined
  background?: boolean
  /** Renews although the token has not expired, if this returns true. */
  forced?: () => Promise<boolean>
}

export function createRenewer(options: RenewerOptions): Renewer {
  const { sessions, store, clock, refreshBeforeExpirationMs, issuerTimeoutMs } = options
  const {
    metrics = noMetrics,
    reportEnding,
    maxBackingOff = 10_000,
    storeTimeoutMs = issuerTimeoutMs,
  } = options
  const renew = createRenewal(options)
  const withinWaitLimit = createWaitLimit({ clock, issuerTimeoutMs, storeTimeoutMs, metrics })
  const flights = createSingleFlight<Session | undefined>(clock)
  /** Tokens in back-off: no renewal in the background, which would only load the store. */
  const backingOff = createExpiringMap<{ failed: true }>({ clock, maxEntries: maxBackingOff })

  return {
    withUsableToken: (session, log, target) => withUsableToken(session, log, target),
    afterRefusal,
    idle: flights.idle,
  }

  /** @param progress of the request that waits for the token */
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
        // A failure is logged, and the next request handles it.
        if (!backingOff.get(flightKey(session, target))) {
          startRenewal(session, log, { target, background: true }).result.catch(() => {})
        }
        return session
      case 'wait':
        return sessionOrThrow(
          await withinWaitLimit(newUsableToken(session, log, { target }, progress), progress),
        )
      case 'ended': {
        const end = () => endUnlessRenewed(sessions, session, () => reportExpiry(session, log))
        return sessionOrThrow(await atStore(progress, end))
      }
    }
  }

  async function afterRefusal(session: Session, upstream: string, log: RenewalLog, target?: TokenTarget) {
    if (renewalCredential(session.record, target) === undefined) return undefined
    const name = `forced-renewal:${flightKey(session, target)}:${upstream}`
    try {
      const forced = () => store.claim(name, refreshBeforeExpirationMs)
      const progress = createProgress(clock)
      return await withinWaitLimit(newUsableToken(session, log, { target, forced }, progress), progress)
    } catch (error) {
      // The browser then gets the upstream's 401.
      if (error instanceof StoreUnavailableError) return undefined
      if (error instanceof GatewayError && error.code === 'BFF_ISSUER_UNAVAILABLE') return undefined
      throw error
    }
  }

  function decide({ record }: Session, target: TokenTarget | undefined): RenewalDecision {
    const held = heldToken(record, target)
    if (!held) return 'wait'
    const refreshToken = renewalCredential(record, target)
    const decision = decideRenewal({ ...held, refreshToken }, refreshBeforeExpirationMs, clock.now())
    // A session without its own token is over; one without a token for an API is not.
    return decision === 'ended' && target ? 'wait' : decision
  }

  /**
   * The session with a newer token that is still usable when the renewal is done.
   * @returns undefined when a forced renewal was not permitted
   */
  async function newUsableToken(
    session: Session,
    log: RenewalLog,
    wanted: Wanted,
    progress: Progress,
  ): Promise<Session | undefined> {
    const { target } = wanted
    const askedAt = clock.now()
    let renewed = await newerToken(session, log, wanted, progress)
    while (renewed && hasRunOut(renewed, askedAt, target))
      renewed = await newerToken(renewed, log, { target }, progress)
    return renewed
  }

  /** Whether a token renewed before `askedAt` has expired since. A token renewed later is used in any case. */
  function hasRunOut(session: Session, askedAt: number, target: TokenTarget | undefined): boolean {
    const { renewedAt } = heldToken(session.record, target) ?? {}
    if (renewedAt !== undefined && renewedAt >= askedAt) return false
    return decide(session, target) === 'wait'
  }

  async function newerToken(
    session: Session,
    log: RenewalLog,
    wanted: Wanted,
    progress: Progress,
  ): Promise<Session | undefined> {
    for (;;) {
      const joined = flights.current(flightKey(session, wanted.target))
      const flight = joined ?? startRenewal(session, log, wanted)
      progress.follow(flight.progress)
      const renewed = await flight.result
      // A renewal that another request started may have ended with the tokens that this request already had.
      if (!joined || (renewed && isNewer(renewed, session, wanted.target))) return renewed
    }
  }

  /** Not tied to a request: a browser that disconnects does not cancel it. */
  function startRenewal(
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
        // A token exchange needs a valid access token. And without a refresh token the session ends with its own token.
        const needsOwn = target?.grant === 'exchange' || session.record.tokenSet.refreshToken === undefined
        if (target && needsOwn) await withUsableToken(session, requestLog, undefined, progress)
        const backOffLeftMs = backingOff.remainingMs(key)
        if (target && backOffLeftMs > 0) throw issuerUnavailable(backOffLeftMs)
        return await renew({ seen: session, target, log, progress, permit: forced })
      } catch (error) {
        recordFailure(key, error, log)
        throw error
      }
    })
  }

  function reportExpiry(session: Session, log: RenewalLog): void {
    log.warn({ event: 'token.renewal.failed', reason: 'no_refresh_token', final: true, retryInMs: null })
    reportEnding(session, 'expired', log)
  }

  function recordFailure(key: string, error: unknown, log: RenewalLog): void {
    if (error instanceof GatewayError) {
      if (error.retryAfterMs !== undefined) backingOff.set(key, { failed: true }, error.retryAfterMs)
      return
    }
    const reason = error instanceof StoreUnavailableError ? 'store_unavailable' : 'internal_error'
    // The next request tries again.
    log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs: 0, err: error })
  }
}

function sessionOrThrow(session: Session | undefined): Session {
  if (!session) throw new GatewayError('BFF_SESSION_ENDED')
  return session
}

/**
 * One renewal per session and target at a time. Their grants are serialised by the lock: they share a refresh token.
 */
function flightKey({ id }: Session, target: TokenTarget | undefined): string {
  return target ? `${id} ${target.key}` : id
}
