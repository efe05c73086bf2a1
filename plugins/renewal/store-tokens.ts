import { GatewayError } from '../errors/catalogue.ts'
import type { GrantedTokens } from '../issuer/token-set.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import type { RenewalOutcome } from '../observability/metrics.ts'
import type { ReportEnding } from '../session/events/report-ending.ts'
import { recordAfter } from '../session/session-record.ts'
import type { Session } from '../session/sessions.ts'
import { StoreUnavailableError } from '../session-store/store.ts'
import { isSameIdentity } from './held-token.ts'
import { atStore, type Progress } from './progress.ts'
import type { RenewalOptions } from './renewal.ts'
import type { LockHolder } from './renewal-lock.ts'
import { type RenewalLog, refreshTokenHash } from './renewal-log.ts'

export type StoreTokensOptions = Pick<RenewalOptions, 'sessions' | 'issuer' | 'clock'> & {
  reportEnding: ReportEnding
}

/** The grant that the tokens come from. */
export interface Grant {
  /** Milliseconds since the epoch. */
  requestedAt: number
  /** Target of the access token. Unset: it is the session's own. */
  target: TokenTarget | undefined
  /** Holder of the renewal lock. */
  holder: Pick<LockHolder, 'extendLock'>
  log: RenewalLog
  progress: Progress
  count: (outcome: RenewalOutcome) => void
}

/**
 * Stores the tokens of a grant before they are used.
 *
 * @returns the session with the newest tokens: these, or those that another holder has stored meanwhile
 * @throws GatewayError BFF_SESSION_ENDED when they are another user's, BFF_SESSION_REQUIRED when the session ended
 *   meanwhile
 * @throws StoreUnavailableError when the store is unavailable for a minute
 */
export type StoreTokens = (session: Session, granted: GrantedTokens, grant: Grant) => Promise<Session>

/** How long a write that follows a grant is retried while the store is unavailable. */
const retryStoreForMs = 60_000

export function createStoreTokens({
  sessions,
  issuer,
  clock,
  reportEnding,
}: StoreTokensOptions): StoreTokens {
  return async function storeTokens(session, granted, { requestedAt, target, holder, log, progress, count }) {
    const storeWithRetries = <T>(write: () => Promise<T>) =>
      atStore(progress, () => retryUntilStored(write, holder))
    const { idToken, refreshToken } = granted
    if (idToken !== undefined && !isSameIdentity(idToken, session.record, issuer.clientId)) {
      // Checked before storing, so that another user's tokens never reach another instance.
      log.warn({ event: 'token.renewal.failed', reason: 'foreign_identity', final: true, retryInMs: null })
      count('foreign_identity')
      reportEnding(session, 'foreign_identity', log)
      // Without rotation the session's refresh token is still the current one.
      const newest = refreshToken ?? session.record.tokenSet.refreshToken
      await Promise.all([
        revoke(newest, log),
        revokeAccessToken(granted.accessToken, log),
        storeWithRetries(() => sessions.end(session)),
      ])
      throw new GatewayError('BFF_SESSION_ENDED', { details: 'Token error: foreign identity' })
    }

    for (let base = session, tokens = granted; ; ) {
      // The tokens exist only in this process, so a failing write is retried.
      const record = recordAfter(base.record, tokens, { requestedAt, now: clock.now(), target })
      const result = await storeWithRetries(sessions.renewal(base, record))
      if (result.outcome === 'stored') return result.session
      const current =
        result.outcome === 'gone' ? undefined : await storeWithRetries(() => sessions.reload(session))
      if (!current) {
        // Logged out while the grant ran: the session must not come back.
        count('gone')
        await revoke(refreshToken, log)
        throw new GatewayError('BFF_SESSION_REQUIRED')
      }
      // The lock had lapsed, and another holder has stored its tokens. Those are newer, unless the stored refresh
      // token is the one that this grant has spent.
      const spent = session.record.tokenSet.refreshToken
      const isNewest = refreshToken !== undefined && current.record.tokenSet.refreshToken === spent
      // A token for one API replaces no other token, so it is stored in any case.
      if (!isNewest && !target) return current
      if (!isNewest) tokens = withoutRefreshToken(granted)
      base = current
    }
  }

  /**
   * Retries a write that must succeed because the refresh token is spent. Extends the lock meanwhile: otherwise another
   * holder would send the spent token again.
   */
  async function retryUntilStored<T>(
    write: () => Promise<T>,
    holder: Pick<LockHolder, 'extendLock'>,
  ): Promise<T> {
    const giveUpAt = clock.monotonic() + retryStoreForMs
    for (let retryInMs = 50; ; retryInMs = Math.min(2 * retryInMs, 1000)) {
      // Not awaited: it is sent before the write.
      void holder.extendLock()
      try {
        return await write()
      } catch (error) {
        if (!(error instanceof StoreUnavailableError) || clock.monotonic() >= giveUpAt) throw error
        await clock.sleep(retryInMs)
      }
    }
  }

  async function revoke(refreshToken: string | undefined, log: RenewalLog): Promise<void> {
    if (refreshToken === undefined) return
    await issuer.revoke(refreshToken).catch(() => {
      log.warn({ event: 'token.revocation.failed', refreshTokenHash: refreshTokenHash(refreshToken) })
    })
  }

  async function revokeAccessToken(accessToken: string, log: RenewalLog): Promise<void> {
    // Many issuers can't revoke a JWT and answer with an error.
    await issuer.revoke(accessToken, 'access_token').catch(() => {
      log.warn({ event: 'token.revocation.failed', tokenType: 'access_token' })
    })
  }
}

function withoutRefreshToken({ refreshToken: _, ...granted }: GrantedTokens): GrantedTokens {
  return granted
}
