import { type Clock, isoTime } from '../../lib/clock.ts'
import type { GrantFailure, IssuerRefusal } from '../issuer/grant-failure.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { TokenTarget } from '../issuer/token-set.ts'
import { hashForLog } from '../logging/logger.ts'
import { type Metrics, noMetrics, type RenewalOutcome } from '../observability/metrics.ts'
import type { StoreTime } from '../renewal/flight.ts'
import { backOffMs } from '../renewal/policy.ts'
import type { RenewalLog } from '../renewal/renewable-token.ts'
import type { Attempt, HeldLock } from '../renewal/renewal-lock.ts'
import type { ReportEnding } from '../session/events/session-events.ts'
import type { Session } from '../session/session.ts'
import { grantCredential, heldToken, isRenewedSince, type SessionRecord } from '../session/session-record.ts'
import type { Sessions, StoreTokensOutcome } from '../session/sessions.ts'
import { StoreUnavailableError } from '../session-store/store.ts'
import { createStoreTokens, retryUntilStored, revokeRefreshToken } from './store-tokens.ts'

export interface UserGrantOptions {
  sessions: Sessions
  issuer: Pick<Issuer, 'clientId' | 'refresh' | 'exchange' | 'revoke' | 'tokenEndpoint'>
  clock: Clock
  /** From 0 up to 1. */
  random: () => number
  /** Default: no metrics. */
  metrics?: Pick<Metrics, 'renewalDone'>
  reportEnding: ReportEnding
  /** Called once renewed tokens are stored. */
  onRenewed: (session: Session) => void
}

/** A renewal of a session's token. */
export interface UserRenewal {
  /** Target of the access token. Unset: it is the session's own. */
  target: TokenTarget | undefined
  lock: HeldLock
  log: RenewalLog
  storeTime: StoreTime
}

/** This many consecutive refusals end a session whose access token has expired. */
const maxRefusals = 3

/**
 * Back-off for an API whose token the issuer declines. Retrying sooner is pointless: usually only a change of the
 * issuer's configuration helps.
 */
const declinedBackOffMs = 30_000

/** Asks the issuer for a session's next tokens, stores them, and ends the session if the issuer refuses for good. */
export function createUserGrant(options: UserGrantOptions) {
  const { sessions, issuer, clock, random, metrics = noMetrics, reportEnding, onRenewed } = options
  const storeTokens = createStoreTokens(options)

  return async function grant(session: Session, renewal: UserRenewal): Promise<Attempt<Session>> {
    const { target, log } = renewal
    const credential = grantCredential(session.record, target)
    // If nothing can renew the session's own token, the session ends; if only one API's token can't be had, it stays.
    if (credential === undefined) return target ? decline('no_refresh_token', log) : { outcome: 'ended' }

    const startedAt = clock.monotonic()
    const requestedAt = clock.now()
    const count = (outcome: RenewalOutcome) => metrics.renewalDone(outcome, clock.monotonic() - startedAt)
    const answer = await requestGrant(session.record, credential, target, log)
    if (answer.outcome !== 'granted') return afterFailure(answer, session, renewal, count)
    const stored = await storeTokens(session, answer.tokens, { ...renewal, requestedAt, count })
    if (stored.outcome !== 'obtained') return stored
    count('renewed')
    onRenewed(stored.value)
    const { tokenType, expiresAt } = heldToken(stored.value.record, target) ?? {}
    const durationMs = Math.round(clock.monotonic() - startedAt)
    log.debug({ event: 'token.renewal.done', tokenType, expiresAt: isoTime(expiresAt), durationMs })
    return stored
  }

  function requestGrant(
    { tokenSet: { dpopKey } }: SessionRecord,
    credential: string,
    target: TokenTarget | undefined,
    log: RenewalLog,
  ) {
    const isExchange = target?.grant === 'exchange'
    if (!isExchange) {
      log.trace({ event: 'token.renewal.grant', refreshTokenHash: hashForLog(credential) })
    }
    log.debug({ event: 'token.renewal.request', tokenEndpoint: issuer.tokenEndpoint() })
    return isExchange
      ? issuer.exchange(credential, target.parameters, dpopKey)
      : issuer.refresh(credential, target?.parameters, dpopKey)
  }

  async function afterFailure(
    failure: GrantFailure,
    session: Session,
    renewal: UserRenewal,
    count: (outcome: RenewalOutcome) => void,
  ): Promise<Attempt<Session>> {
    const { target, lock, log, storeTime } = renewal
    const reason = failure.outcome === 'refused' ? failure.oauthError : failure.reason
    if (target && failure.requestSpecific) {
      count('failed')
      return decline(reason, log)
    }
    if (failure.outcome === 'refused') {
      count('refused')
      return end(session, failure, renewal)
    }
    const refusal = target ? undefined : failure.refusal
    if (refusal && isOneTooMany(session)) {
      count('refused')
      return end(session, refusal, renewal)
    }
    count('failed')
    const { refreshToken } = failure
    if (refreshToken !== undefined) await keepRefreshToken(session, refreshToken, renewal)
    else await storeTime.measure(() => noteRefusal(session, refusal))
    const retryInMs = backOffMs(lock.failures, random(), failure.retryAfterMs)
    log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs })
    return { outcome: 'failed', retryInMs }
  }

  async function end(
    session: Session,
    refusal: IssuerRefusal,
    { target, lock, log, storeTime }: UserRenewal,
  ): Promise<Attempt<Session>> {
    // After the lock has expired, the refusal may be because another holder has already spent the refresh token.
    if (lock.hasExpired()) return { outcome: 'retry' }
    let isEndedHere = false
    const onEnded = () => {
      isEndedHere = true
    }
    const newer = await storeTime.measure(() => endUnlessRenewed(sessions, session, 'refused', onEnded))
    if (newer) {
      const isRenewed = isRenewedSince(session.record, newer.record, target)
      return isRenewed ? { outcome: 'obtained', value: newer } : { outcome: 'retry' }
    }
    const { oauthError } = refusal
    log.warn({ event: 'token.renewal.failed', reason: oauthError, final: true, retryInMs: null })
    if (isEndedHere) reportEnding(session, 'refused', log, withoutToken(refusal, session.record))
    return { outcome: 'ended', tokenError: oauthError }
  }

  /**
   * Whether a further ambiguous refusal, not yet counted, ends the session. For an invalid refresh token some issuers
   * send `invalid_request` (Dex, for example) or a code of their own. One such answer proves nothing; after three in a
   * row, over all processes, only a new login helps.
   */
  function isOneTooMany({ record }: Session): boolean {
    const { expiresAt } = record.tokenSet
    const isExpired = expiresAt !== undefined && expiresAt <= clock.now()
    return isExpired && (record.refusals ?? 0) + 1 >= maxRefusals
  }

  /**
   * Counts consecutive ambiguous refusals in the session's record.
   * @param refusal unset: the grant failed in another way, which resets the count
   */
  async function noteRefusal(session: Session, refusal: IssuerRefusal | undefined): Promise<void> {
    const { refusals: before = 0, ...record } = session.record
    const refusals = refusal ? Math.min(before + 1, maxRefusals) : 0
    if (refusals === before) return
    const noted = sessions.prepareWrite(session, refusals > 0 ? { ...record, refusals } : record)
    // Best effort: an outage of the store loses one count. A conflict means newer tokens, which the refusal is not
    // about.
    await noted().catch((error: unknown) => {
      if (!(error instanceof StoreUnavailableError)) throw error
    })
  }

  /**
   * Stores only the refresh token of an answer: the session's own may be spent. If something else was written meanwhile,
   * this is repeated on top of it, unless that has newer tokens.
   */
  async function keepRefreshToken(
    session: Session,
    refreshToken: string,
    { lock, log, storeTime }: UserRenewal,
  ): Promise<void> {
    const stored = <T>(write: () => Promise<T>): Promise<T> =>
      storeTime.measure(() => retryUntilStored(write, lock, clock))
    const sent = session.record.tokenSet.refreshToken
    let current: Session | undefined = session
    while (current) {
      if (current.record.tokenSet.refreshToken !== sent) return
      const result: StoreTokensOutcome = await stored(
        sessions.prepareWrite(current, withRefreshToken(current.record, refreshToken)),
      )
      if (result.outcome === 'stored') return
      current = result.outcome === 'gone' ? undefined : await stored(() => sessions.reload(session))
    }
    await revokeRefreshToken(issuer, refreshToken, log)
  }
}

function withRefreshToken({ refusals: _, ...record }: SessionRecord, refreshToken: string): SessionRecord {
  return { ...record, tokenSet: { ...record.tokenSet, refreshToken } }
}

function decline(reason: string, log: RenewalLog): Attempt<Session> {
  log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs: declinedBackOffMs })
  return { outcome: 'issuer-unavailable', retryInMs: declinedBackOffMs }
}

/** Removes the refresh token from the error description: some issuers quote it. */
function withoutToken(
  { oauthError, errorDescription }: IssuerRefusal,
  { tokenSet }: SessionRecord,
): IssuerRefusal {
  if (errorDescription === undefined) return { oauthError }
  const { refreshToken = '' } = tokenSet
  const safe = refreshToken === '' ? errorDescription : errorDescription.replaceAll(refreshToken, '…')
  return { oauthError, errorDescription: safe }
}

/**
 * Ends a session whose tokens can't be renewed, unless newer ones were stored meanwhile (checked and ended atomically).
 * @param onEnded called if this call has ended it
 * @returns the session with the newer tokens, or undefined if it has ended
 */
export async function endUnlessRenewed(
  sessions: Sessions,
  session: Session,
  reason: 'refused' | 'expired',
  onEnded: () => void,
): Promise<Session | undefined> {
  const ended = await sessions.end(session, { onlyThisVersion: true, reason })
  if (!ended) return sessions.reload(session)
  onEnded()
  return undefined
}
