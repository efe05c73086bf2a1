import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { IssuerRefusal } from '../issuer/grant-failure.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import { type Metrics, noMetrics, type RenewalOutcome } from '../observability/metrics.ts'
import type { ReportEnding } from '../session/events/report-ending.ts'
import type { Session, Sessions } from '../session/sessions.ts'
import { heldToken, isNewer, renewalCredential } from './held-token.ts'
import { backOffMs } from './policy.ts'
import { atStore, type Progress } from './progress.ts'
import { createRefusals } from './refusals.ts'
import {
  type Attempt,
  createRenewalLock,
  issuerUnavailable,
  type LockHolder,
  type RenewalLockOptions,
} from './renewal-lock.ts'
import { isoTime, type RenewalLog, refreshTokenHash, withoutToken } from './renewal-log.ts'
import { createStoreTokens } from './store-tokens.ts'

export interface RenewalOptions extends RenewalLockOptions {
  sessions: Sessions
  issuer: Pick<Issuer, 'clientId' | 'refresh' | 'exchange' | 'revoke' | 'tokenEndpoint'>
  clock: Clock
  /** From 0 up to 1. */
  random: () => number
  /** Default: no metrics. */
  metrics?: Pick<Metrics, 'renewalDone' | 'renewalWaiters'>
  reportEnding: ReportEnding
  /** Called once renewed tokens are stored. */
  onRenewed: (session: Session) => void
}

/**
 * Renews a session's token for a target. Only one process of those that share the store runs the grant.
 *
 * @throws GatewayError BFF_SESSION_ENDED, BFF_SESSION_REQUIRED (it ended meanwhile), BFF_ISSUER_UNAVAILABLE
 * @throws StoreUnavailableError
 */
export type Renew = (wanted: WantedRenewal) => Promise<Session | undefined>

export interface WantedRenewal {
  /** The session as the caller has read it: if the store has newer tokens, no grant is needed. */
  seen: Session
  /** Unset: the session's own token. */
  target: TokenTarget | undefined
  log: RenewalLog
  progress: Progress
  /** Called under the lock before a grant. If it returns false, the result is undefined. */
  permit?: (() => Promise<boolean>) | undefined
}

export function createRenewal(options: RenewalOptions): Renew {
  const { sessions, issuer, clock, random, metrics = noMetrics, reportEnding, onRenewed } = options
  const withRenewalLock = createRenewalLock(options)
  const storeTokens = createStoreTokens({ sessions, issuer, clock, reportEnding })
  const refusals = createRefusals({ sessions, clock })

  return async function renew({ seen, target, log, progress, permit = async () => true }) {
    let permitted = false
    return withRenewalLock<Session>({
      id: seen.id,
      progress,
      read: () => reload(seen),
      isRenewed: (current) => isNewer(current, seen, target),
      // Called once: the permission also holds for a retry.
      async permit() {
        permitted ||= await permit()
        return permitted
      },
      grant: (current, holder) => grant(current, holder, { target, log, progress }),
    })
  }

  async function grant(session: Session, holder: LockHolder, wanted: Wanted): Promise<Attempt<Session>> {
    const { target, log, progress } = wanted
    const credential = renewalCredential(session.record, target)
    if (credential === undefined) throw notRenewable(target, log)

    const startedAt = clock.monotonic()
    const requestedAt = clock.now()
    const count = (outcome: RenewalOutcome) => metrics.renewalDone(outcome, clock.monotonic() - startedAt)
    const answer = await requestGrant(credential, target, log)
    const isDeclined = target !== undefined && 'requestSpecific' in answer

    switch (answer.outcome) {
      case 'refused': {
        const { outcome: _, requestSpecific: __, ...refusal } = answer
        if (isDeclined) return decline(refusal.oauthError, log, count)
        count('refused')
        return end(session, refusal, holder, wanted)
      }
      case 'failed': {
        const { reason, refusal } = answer
        if (isDeclined) return decline(reason, log, count)
        if (!target && refusal && refusals.isOneTooMany(session)) {
          count('refused')
          return end(session, refusal, holder, wanted)
        }
        count('failed')
        await atStore(progress, () => refusals.note(session, target ? undefined : refusal))
        const retryInMs = backOffMs(holder.failures, random(), answer.retryAfterMs)
        log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs })
        return { outcome: 'failed', retryInMs }
      }
      case 'granted': {
        const stored = await storeTokens(session, answer.tokens, {
          requestedAt,
          target,
          holder,
          log,
          progress,
          count,
        })
        count('renewed')
        onRenewed(stored)
        const { tokenType, expiresAt } = heldToken(stored.record, target) ?? {}
        const durationMs = Math.round(clock.monotonic() - startedAt)
        log.debug({ event: 'token.renewal.done', tokenType, expiresAt: isoTime(expiresAt), durationMs })
        return { outcome: 'renewed', value: stored }
      }
    }
  }

  /** @throws GatewayError BFF_SESSION_ENDED */
  async function end(
    session: Session,
    refusal: IssuerRefusal,
    holder: LockHolder,
    { target, log, progress }: Wanted,
  ): Promise<Attempt<Session>> {
    // After the lock has lapsed, the refusal may be because another holder has already spent the refresh token.
    if (holder.hasLapsed()) return { outcome: 'retry' }
    let isEndedHere = false
    const onEnded = () => {
      isEndedHere = true
    }
    const newer = await atStore(progress, () => endUnlessRenewed(sessions, session, onEnded))
    if (newer) {
      return isNewer(newer, session, target) ? { outcome: 'renewed', value: newer } : { outcome: 'retry' }
    }
    const { oauthError } = refusal
    log.warn({ event: 'token.renewal.failed', reason: oauthError, final: true, retryInMs: null })
    if (isEndedHere) reportEnding(session, 'refused', log, withoutToken(refusal, session.record))
    throw new GatewayError('BFF_SESSION_ENDED', { details: `Token error: ${oauthError}` })
  }

  function requestGrant(credential: string, target: TokenTarget | undefined, log: RenewalLog) {
    const isExchange = target?.grant === 'exchange'
    if (!isExchange) {
      log.trace({ event: 'token.renewal.grant', refreshTokenHash: refreshTokenHash(credential) })
    }
    log.debug({ event: 'token.renewal.request', tokenEndpoint: issuer.tokenEndpoint() })
    return isExchange
      ? issuer.exchange(credential, target.parameters)
      : issuer.refresh(credential, target?.parameters)
  }

  async function reload(session: Session): Promise<Session> {
    const current = await sessions.reload(session)
    if (!current) throw new GatewayError('BFF_SESSION_REQUIRED')
    return current
  }
}

type Wanted = Pick<WantedRenewal, 'target' | 'log' | 'progress'>

/** Back-off for an API whose token the issuer declines: the issuer's configuration rarely changes. */
const declinedBackOffMs = 30_000

function decline(
  reason: string,
  log: RenewalLog,
  count: (outcome: RenewalOutcome) => void,
): Attempt<Session> {
  count('failed')
  log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs: declinedBackOffMs })
  return { outcome: 'declined', retryInMs: declinedBackOffMs }
}

/** A session without its own token is over; one without a token for an API is not. */
function notRenewable(target: TokenTarget | undefined, log: RenewalLog): GatewayError {
  if (!target) return new GatewayError('BFF_SESSION_ENDED')
  const fields = { reason: 'no_refresh_token', final: false, retryInMs: declinedBackOffMs }
  log.warn({ event: 'token.renewal.failed', ...fields })
  return issuerUnavailable(declinedBackOffMs)
}

/**
 * Ends a session whose tokens can't be renewed, unless newer ones were stored meanwhile (checked and ended atomically).
 * @param onEnded called if this call has ended it
 * @returns the session with the newer tokens, or undefined if it has ended
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
