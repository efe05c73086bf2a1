import type { Clock } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { IssuerRefusal } from '../issuer/grant-failure.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import { type Metrics, noMetrics, type RenewalOutcome } from '../observability/metrics.ts'
import type { ReportEnding } from '../session/events/report-ending.ts'
import type { Session, Sessions } from '../session/sessions.ts'
import { heldToken, isNewer, renewedWith } from './held-token.ts'
import { createTokenKeeper } from './keep-tokens.ts'
import { backOffMs } from './policy.ts'
import { atStore, type Progress } from './progress.ts'
import { createRefusals } from './refusals.ts'
import { isoTime, type RenewalLog, refreshTokenHash, withoutToken } from './renewal-log.ts'
import { type Attempt, createTurns, type Holder, issuerUnavailable, type TurnOptions } from './take-turns.ts'

export interface RenewalOptions extends TurnOptions {
  sessions: Sessions
  issuer: Pick<Issuer, 'clientId' | 'refresh' | 'exchange' | 'revoke' | 'tokenEndpoint'>
  clock: Clock
  /** From 0 up to 1. */
  random: () => number
  /** Default: nobody counts. */
  metrics?: Pick<Metrics, 'renewalDone' | 'renewalWaiters'>
  reportEnding: ReportEnding
  /** Called once renewed tokens are stored. */
  onRenewed: (session: Session) => void
}

/**
 * Renews a session's token for a target, once over all processes that share its store.
 *
 * @throws GatewayError BFF_SESSION_ENDED, BFF_SESSION_REQUIRED (it ended meanwhile), BFF_ISSUER_UNAVAILABLE
 * @throws StoreUnavailableError
 */
export type Renew = (wanted: WantedRenewal) => Promise<Session | undefined>

export interface WantedRenewal {
  /** The session as whoever asks has read it: newer tokens in the store are as good as a grant. */
  seen: Session
  /** Unset: the session's own token. */
  target: TokenTarget | undefined
  log: RenewalLog
  progress: Progress
  /** Asked under the lock, when a grant is all that helps. If it forbids one, nothing is what comes of it. */
  permit?: (() => Promise<boolean>) | undefined
}

export function createRenewal(options: RenewalOptions): Renew {
  const { sessions, issuer, clock, random, metrics = noMetrics, reportEnding, onRenewed } = options
  const takeTurns = createTurns(options)
  const keepTokens = createTokenKeeper({ sessions, issuer, clock, reportEnding })
  const refusals = createRefusals({ sessions, clock })

  return async function renew({ seen, target, log, progress, permit = async () => true }) {
    let permitted = false
    return takeTurns<Session>({
      id: seen.id,
      progress,
      read: () => reload(seen),
      isRenewed: (current) => isNewer(current, seen, target),
      // Asked once: a permit that was given stays good for another round.
      async permit() {
        permitted ||= await permit()
        return permitted
      },
      grant: (current, holder) => grant(current, holder, { target, log, progress }),
    })
  }

  async function grant(session: Session, holder: Holder, wanted: Wanted): Promise<Attempt<Session>> {
    const { target, log, progress } = wanted
    const credential = renewedWith(session.record, target)
    if (credential === undefined) throw notRenewable(target, log)

    const startedAt = clock.monotonic()
    const requestedAt = clock.now()
    const count = (outcome: RenewalOutcome) => metrics.renewalDone(outcome, clock.monotonic() - startedAt)
    const answer = await ask(credential, target, log)
    const isParticular = target !== undefined && 'particular' in answer

    switch (answer.outcome) {
      case 'refused': {
        const { outcome: _, particular: __, ...refusal } = answer
        if (isParticular) return decline(refusal.oauthError, log, count)
        count('refused')
        return end(session, refusal, holder, wanted)
      }
      case 'failed': {
        const { reason, refusal } = answer
        if (isParticular) return decline(reason, log, count)
        if (!target && refusal && refusals.isLast(session)) {
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
        const kept = await keepTokens(session, answer.tokens, {
          requestedAt,
          target,
          holder,
          log,
          progress,
          count,
        })
        count('renewed')
        onRenewed(kept)
        const { tokenType, expiresAt } = heldToken(kept.record, target) ?? {}
        const durationMs = Math.round(clock.monotonic() - startedAt)
        log.debug({ event: 'token.renewal.done', tokenType, expiresAt: isoTime(expiresAt), durationMs })
        return { outcome: 'renewed', value: kept }
      }
    }
  }

  /** @throws GatewayError BFF_SESSION_ENDED */
  async function end(
    session: Session,
    refusal: IssuerRefusal,
    holder: Holder,
    { target, log, progress }: Wanted,
  ): Promise<Attempt<Session>> {
    // A holder whose lock has lapsed can't tell a dead session from one that the next holder is renewing.
    if (holder.hasLapsed()) return { outcome: 'again' }
    let isEndedHere = false
    const noteEnd = () => {
      isEndedHere = true
    }
    const newer = await atStore(progress, () => endUnlessRenewed(sessions, session, noteEnd))
    if (newer) {
      return isNewer(newer, session, target) ? { outcome: 'renewed', value: newer } : { outcome: 'again' }
    }
    const { oauthError } = refusal
    log.warn({ event: 'token.renewal.failed', reason: oauthError, final: true, retryInMs: null })
    if (isEndedHere) reportEnding(session, 'refused', log, withoutToken(refusal, session.record))
    throw new GatewayError('BFF_SESSION_ENDED', { details: `Token error: ${oauthError}` })
  }

  function ask(credential: string, target: TokenTarget | undefined, log: RenewalLog) {
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

/** What is renewed, and on whose behalf. */
type Wanted = Pick<WantedRenewal, 'target' | 'log' | 'progress'>

/** How long an API is done without whose token the issuer declines to give: how it is set up there changes slowly. */
const declinedMs = 30_000

function decline(
  reason: string,
  log: RenewalLog,
  count: (outcome: RenewalOutcome) => void,
): Attempt<Session> {
  count('failed')
  log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs: declinedMs })
  return { outcome: 'declined', retryInMs: declinedMs }
}

/** Without its own token a session is over; without one for some API it is not. */
function notRenewable(target: TokenTarget | undefined, log: RenewalLog): GatewayError {
  if (!target) return new GatewayError('BFF_SESSION_ENDED')
  const fields = { reason: 'no_refresh_token', final: false, retryInMs: declinedMs }
  log.warn({ event: 'token.renewal.failed', ...fields })
  return issuerUnavailable(declinedMs)
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
