import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { Issuer } from '../issuer/issuer.ts'
import {
  type Metrics,
  noMetrics,
  type RenewalOutcome,
  type SessionEndReason,
} from '../observability/metrics.ts'
import { sessionInfo } from '../oidc-session/session-info.ts'
import type { Session, Sessions } from '../oidc-session/sessions.ts'
import type { SessionEvents } from '../session-events/session-events.ts'
import type { Lock, SessionStore } from '../session-store/store.ts'
import { backOffMs } from './back-off.ts'
import { createTokenKeeper } from './keep-tokens.ts'
import { isoTime, type RenewalLog, refreshTokenHash } from './renewal-log.ts'

export interface RenewalOptions {
  sessions: Sessions
  store: Pick<SessionStore, 'lock' | 'changed'>
  issuer: Pick<Issuer, 'clientId' | 'refresh' | 'revoke' | 'tokenEndpoint'>
  clock: Clock
  /** From 0 up to 1. */
  random: () => number
  /** How long a request waits for the issuer, in milliseconds. The lock lives three times as long. */
  issuerTimeoutMs: number
  /** Default: nobody counts. */
  metrics?: Pick<Metrics, 'renewalDone' | 'renewalWaiters' | 'sessionEnded'>
  /** Default: nobody is told. */
  events?: Pick<SessionEvents<never>, 'renewed' | 'ended'>
}

/**
 * Renews a session's tokens, once over all processes that share its store.
 *
 * @param seen the session as whoever asks has read it: newer tokens in the store are as good as a grant
 * @param permit asked under the lock, when a grant is all that helps
 * @returns nothing when there is nothing newer and `permit` forbade a grant
 * @throws GatewayError BFF_SESSION_ENDED, BFF_SESSION_REQUIRED (it ended meanwhile), BFF_ISSUER_UNAVAILABLE
 * @throws StoreUnavailableError
 */
export type Renew = (
  seen: Session,
  log: RenewalLog,
  permit?: () => Promise<boolean>,
) => Promise<Session | undefined>

type Attempt =
  | { outcome: 'renewed'; session: Session }
  | { outcome: 'failed'; retryInMs: number }
  | { outcome: 'forbidden' }
  | { outcome: 'again' }

const forbidden: Attempt = { outcome: 'forbidden' }
const again: Attempt = { outcome: 'again' }

/** A waiter looks again this often, should the news of a change get lost. */
const lookAgainMs = 500

export function createRenewal({
  sessions,
  store,
  issuer,
  clock,
  random,
  issuerTimeoutMs,
  metrics = noMetrics,
  events,
}: RenewalOptions): Renew {
  // Longer than the longest grant and the write after it, so it needs no heartbeat: one would keep the lock of a
  // holder whose event loop is alive but whose grant hangs, and would stop while the process is frozen anyway.
  const lockMs = 3 * issuerTimeoutMs
  const longestGrantMs = 2.5 * issuerTimeoutMs
  const onEnded = sessionEnding(metrics, events)
  const keepTokens = createTokenKeeper({ sessions, issuer, clock, onEnded })

  return async function renew(seen, log, permit = async () => true) {
    let permitted = false
    // Asked once: a permit that was given stays good for another round.
    const permitOnce = async () => {
      permitted ||= await permit()
      return permitted
    }
    for (;;) {
      const waiting = new AbortController()
      try {
        // Before the lock is asked for, or its release could go unheard.
        const change = store.changed(seen.id, waiting.signal)
        const lapsesAt = clock.monotonic() + lockMs
        const result = await store.lock(seen.id, lockMs)
        if (result.outcome === 'acquired') {
          const attempt = await renewUnderLock({ seen, lock: result.lock, lapsesAt, log, permit: permitOnce })
          if (attempt.outcome === 'again') continue
          if (attempt.outcome === 'failed') throw issuerUnavailable(attempt.retryInMs)
          return attempt.outcome === 'renewed' ? attempt.session : undefined
        }
        const current = await reload(seen)
        if (current.version !== seen.version) return current
        if (result.outcome === 'backing-off') throw issuerUnavailable(result.retryInMs)
        await Promise.race([change, clock.sleep(Math.min(result.lapsesInMs, lookAgainMs), waiting.signal)])
      } finally {
        waiting.abort()
      }
    }
  }

  async function renewUnderLock(turn: Turn): Promise<Attempt> {
    const { lock } = turn
    let attempt: Attempt | undefined
    try {
      attempt = await renewOrNot(turn)
      return attempt
    } finally {
      // A lock that can't be given back lapses. Until then it keeps everybody away, as the back-off would have.
      const givenBack = attempt?.outcome === 'failed' ? lock.backOff(attempt.retryInMs) : lock.release()
      await givenBack.catch(() => {})
    }
  }

  async function renewOrNot({ seen, permit, ...holder }: Turn): Promise<Attempt> {
    // Read under the lock, never before: what was seen earlier may have been spent by the last holder.
    const current = await reload(seen)
    if (current.version !== seen.version) return renewed(current)
    if (!(await permit())) return forbidden
    // This process may have been frozen: a grant that no longer fits under the lock is not begun.
    if (holder.lapsesAt - clock.monotonic() < longestGrantMs) return again
    return grant(current, holder)
  }

  async function grant(session: Session, { lock, lapsesAt, log }: Holder): Promise<Attempt> {
    const { tokenSet } = session.record
    if (tokenSet.refreshToken === undefined) throw new GatewayError('BFF_SESSION_ENDED')

    const startedAt = clock.monotonic()
    const requestedAt = clock.now()
    const count = (outcome: RenewalOutcome) => metrics.renewalDone(outcome, clock.monotonic() - startedAt)
    log.trace({ event: 'token.renewal.grant', refreshTokenHash: refreshTokenHash(tokenSet.refreshToken) })
    log.debug({ event: 'token.renewal.request', tokenEndpoint: issuer.tokenEndpoint() })
    const answer = await issuer.refresh(tokenSet.refreshToken)

    switch (answer.outcome) {
      case 'refused': {
        count('refused')
        // A holder whose lock has lapsed can't tell a dead session from one that the next holder is renewing.
        if (clock.monotonic() >= lapsesAt) return again
        const newer = await endUnlessRenewed(sessions, session, () => onEnded(session, 'refused'))
        if (newer) return renewed(newer)
        log.warn({ event: 'token.renewal.failed', reason: 'invalid_grant', final: true })
        throw new GatewayError('BFF_SESSION_ENDED')
      }
      case 'failed': {
        count('failed')
        const retryInMs = backOffMs(lock.failures, random(), answer.retryAfterMs)
        log.warn({ event: 'token.renewal.failed', reason: answer.reason, final: false, retryInMs })
        return { outcome: 'failed', retryInMs }
      }
      case 'granted': {
        const kept = await keepTokens(session, answer.tokens, { requestedAt, log, count })
        count('renewed')
        events?.renewed(kept)
        const { tokenType, expiresAt } = kept.record.tokenSet
        const durationMs = Math.round(clock.monotonic() - startedAt)
        log.debug({ event: 'token.renewal.done', tokenType, expiresAt: isoTime(expiresAt), durationMs })
        return renewed(kept)
      }
    }
  }

  async function reload(session: Session): Promise<Session> {
    const current = await sessions.reload(session)
    if (!current) throw new GatewayError('BFF_SESSION_REQUIRED')
    return current
  }
}

/** What a process holds while it renews. */
interface Holder {
  lock: Lock
  /** By the monotonic clock. */
  lapsesAt: number
  log: RenewalLog
}

/** One turn at holding the lock. */
interface Turn extends Holder {
  seen: Session
  /** Whether a grant may be asked for, when that is all that helps. */
  permit: () => Promise<boolean>
}

function renewed(session: Session): Attempt {
  return { outcome: 'renewed', session }
}

/**
 * Ends a session whose tokens can't be renewed, unless somebody stored newer ones: looked up and ended in one step.
 * @param onEnded called when it was this that ended it
 * @returns the session with the newer tokens, or nothing when it has ended
 */
export async function endUnlessRenewed(
  sessions: Sessions,
  session: Session,
  onEnded: () => void,
): Promise<Session | undefined> {
  const ended = await sessions.end(session, { onlyThisVersion: true })
  if (!ended) return sessions.reload(session)
  onEnded()
  return undefined
}

/** Counts a session that has ended, and tells whoever wants to know. */
export function sessionEnding(metrics: Pick<Metrics, 'sessionEnded'>, events: RenewalOptions['events']) {
  return (session: Session, reason: SessionEndReason): void => {
    metrics.sessionEnded(reason)
    events?.ended(sessionInfo(session), reason)
  }
}

/** Not now, but later: the session stays. */
export function issuerUnavailable(retryAfterMs: number): GatewayError {
  return new GatewayError('BFF_ISSUER_UNAVAILABLE', { retryAfterMs })
}
