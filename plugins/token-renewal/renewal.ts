import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { Session, Sessions } from '../oidc-session/sessions.ts'
import { type GrantedTokens, type TokenSet, tokenSetFrom } from '../oidc-session/token-set.ts'
import { type Lock, type SessionStore, StoreUnavailableError } from '../session-store/store.ts'
import { backOffMs } from './back-off.ts'
import { isSameIdentity } from './identity.ts'
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

type Attempt = { outcome: 'renewed'; session: Session } | { outcome: 'forbidden' } | { outcome: 'again' }

const forbidden: Attempt = { outcome: 'forbidden' }
const again: Attempt = { outcome: 'again' }

/** A waiter looks again this often, should the news of a change get lost. */
const lookAgainMs = 500
/** How long the store is tried again with tokens that a grant has just brought. */
const storeTokensForMs = 60_000

export function createRenewal({
  sessions,
  store,
  issuer,
  clock,
  random,
  issuerTimeoutMs,
}: RenewalOptions): Renew {
  // Longer than the longest grant and the write after it, so it needs no heartbeat: one would keep the lock of a
  // holder whose event loop is alive but whose grant hangs, and would stop while the process is frozen anyway.
  const lockMs = 3 * issuerTimeoutMs
  const longestGrantMs = 2.5 * issuerTimeoutMs

  return async function renew(seen, log, permit = async () => true) {
    for (;;) {
      const waiting = new AbortController()
      try {
        // Before the lock is asked for, or its release could go unheard.
        const change = store.changed(seen.id, waiting.signal)
        const lapsesAt = clock.monotonic() + lockMs
        const result = await store.lock(seen.id, lockMs)
        if (result.outcome === 'acquired') {
          const attempt = await renewUnderLock({ seen, lock: result.lock, lapsesAt, log, permit })
          if (attempt.outcome === 'again') continue
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

  async function renewUnderLock({
    seen,
    permit,
    ...holder
  }: Holder & { seen: Session; permit: () => Promise<boolean> }): Promise<Attempt> {
    const { lock, lapsesAt } = holder
    try {
      // Read under the lock, never before: what was seen earlier may have been spent by the last holder.
      const current = await reload(seen)
      if (current.version !== seen.version) return renewed(current)
      if (!(await permit())) return forbidden
      // This process may have been frozen: a grant that no longer fits under the lock is not begun.
      if (lapsesAt - clock.monotonic() < longestGrantMs) return again
      return await grant(current, holder)
    } finally {
      // One that can't be given back lapses.
      await lock.release().catch(() => {})
    }
  }

  async function grant(session: Session, { lock, lapsesAt, log }: Holder): Promise<Attempt> {
    const { tokenSet } = session.record
    if (tokenSet.refreshToken === undefined) throw new GatewayError('BFF_SESSION_ENDED')

    const startedAt = clock.monotonic()
    const requestedAt = clock.now()
    log.trace({ event: 'token.renewal.grant', refreshTokenHash: refreshTokenHash(tokenSet.refreshToken) })
    log.debug({ event: 'token.renewal.request', tokenEndpoint: issuer.tokenEndpoint() })
    const answer = await issuer.refresh(tokenSet.refreshToken)

    switch (answer.outcome) {
      case 'refused': {
        // A holder whose lock has lapsed can't tell a dead session from one that the next holder is renewing.
        if (clock.monotonic() >= lapsesAt) return again
        const newer = await endUnlessRenewed(sessions, session)
        if (newer) return renewed(newer)
        log.warn({ event: 'token.renewal.failed', reason: 'invalid_grant', final: true })
        throw new GatewayError('BFF_SESSION_ENDED')
      }
      case 'failed': {
        const retryInMs = backOffMs(lock.failures, random(), answer.retryAfterMs)
        log.warn({ event: 'token.renewal.failed', reason: answer.reason, final: false, retryInMs })
        await lock.backOff(retryInMs).catch(() => {})
        throw issuerUnavailable(retryInMs)
      }
      case 'granted': {
        const kept = await keep(session, answer.tokens, requestedAt, log)
        const { tokenType, expiresAt } = kept.record.tokenSet
        const durationMs = Math.round(clock.monotonic() - startedAt)
        log.debug({ event: 'token.renewal.done', tokenType, expiresAt: isoTime(expiresAt), durationMs })
        return renewed(kept)
      }
    }
  }

  /** Stores what a grant brought, before anything else is done with it. */
  async function keep(
    session: Session,
    granted: GrantedTokens,
    requestedAt: number,
    log: RenewalLog,
  ): Promise<Session> {
    if (granted.idToken !== undefined && !isSameIdentity(granted.idToken, session.record, issuer.clientId)) {
      // Looked at before it is stored, so that another user's tokens never reach another instance.
      log.warn({ event: 'token.renewal.failed', reason: 'foreign_identity', final: true })
      await revoke(granted, log)
      await sessions.end(session, { onlyThisVersion: true })
      throw new GatewayError('BFF_SESSION_ENDED', { details: 'Token error: foreign identity' })
    }
    const result = await storeTokens(session, tokenSetFrom(granted, requestedAt, session.record.tokenSet))
    switch (result.outcome) {
      case 'stored':
        return result.session
      case 'conflict':
        // The lock lapsed, and its next holder was faster: its tokens are the newer ones.
        return reload(session)
      case 'gone':
        // Logged out while the grant ran: it stays dead.
        await revoke(granted, log)
        throw new GatewayError('BFF_SESSION_REQUIRED')
    }
  }

  /** The tokens exist nowhere else, so a store that fails just now is tried again. */
  async function storeTokens(session: Session, tokenSet: TokenSet) {
    const store = sessions.renewal(session, tokenSet)
    const giveUpAt = clock.monotonic() + storeTokensForMs
    for (let retryInMs = 50; ; retryInMs = Math.min(2 * retryInMs, 1000)) {
      try {
        return await store()
      } catch (error) {
        if (!(error instanceof StoreUnavailableError) || clock.monotonic() >= giveUpAt) throw error
        await clock.sleep(retryInMs)
      }
    }
  }

  async function revoke({ refreshToken }: GrantedTokens, log: RenewalLog): Promise<void> {
    if (refreshToken === undefined) return
    await issuer.revoke(refreshToken).catch(() => {
      log.warn({ event: 'token.revocation.failed', refreshTokenHash: refreshTokenHash(refreshToken) })
    })
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

function renewed(session: Session): Attempt {
  return { outcome: 'renewed', session }
}

/**
 * Ends a session whose tokens can't be renewed, unless somebody stored newer ones: looked up and ended in one step.
 * @returns the session with the newer tokens, or nothing when it has ended
 */
export async function endUnlessRenewed(sessions: Sessions, session: Session): Promise<Session | undefined> {
  const ended = await sessions.end(session, { onlyThisVersion: true })
  return ended ? undefined : sessions.reload(session)
}

/** Not now, but later: the session stays. */
export function issuerUnavailable(retryAfterMs: number): GatewayError {
  return new GatewayError('BFF_ISSUER_UNAVAILABLE', { retryAfterMs })
}
