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
import { type RenewalLog, refreshTokenHash } from './renewal-log.ts'
import type { Holder } from './take-turns.ts'

export type TokenKeeperOptions = Pick<RenewalOptions, 'sessions' | 'issuer' | 'clock'> & {
  reportEnding: ReportEnding
}

/** The grant that brought the tokens. */
export interface Grant {
  /** Milliseconds since the epoch. */
  requestedAt: number
  /** What its access token is for. Unset: it is the session's own. */
  target: TokenTarget | undefined
  /** Of the lock under which it was asked for. */
  holder: Pick<Holder, 'keep'>
  log: RenewalLog
  progress: Progress
  count: (outcome: RenewalOutcome) => void
}

/**
 * Stores what a grant brought, before anything else is done with it.
 *
 * @returns the session with the newest tokens there are, these or another holder's
 * @throws GatewayError BFF_SESSION_ENDED when they are somebody else's, BFF_SESSION_REQUIRED when it ended meanwhile
 * @throws StoreUnavailableError when the store has not come back in a minute
 */
export type KeepTokens = (session: Session, granted: GrantedTokens, grant: Grant) => Promise<Session>

/** How long a store that fails is tried again with what a grant has led to. */
const insistForMs = 60_000

export function createTokenKeeper({ sessions, issuer, clock, reportEnding }: TokenKeeperOptions): KeepTokens {
  return async function keepTokens(session, granted, { requestedAt, target, holder, log, progress, count }) {
    const insist = <T>(write: () => Promise<T>) => atStore(progress, () => untilStored(write, holder))
    const { idToken, refreshToken } = granted
    if (idToken !== undefined && !isSameIdentity(idToken, session.record, issuer.clientId)) {
      // Looked at before it is stored, so that another user's tokens never reach another instance.
      log.warn({ event: 'token.renewal.failed', reason: 'foreign_identity', final: true, retryInMs: null })
      count('foreign_identity')
      reportEnding(session, 'foreign_identity', log)
      // Whatever is stored by now comes from the same grants. One that did not rotate has only the old token.
      const newest = refreshToken ?? session.record.tokenSet.refreshToken
      await Promise.all([
        revoke(newest, log),
        revokeAccessToken(granted.accessToken, log),
        insist(() => sessions.end(session)),
      ])
      throw new GatewayError('BFF_SESSION_ENDED', { details: 'Token error: foreign identity' })
    }

    for (let over = session, tokens = granted; ; ) {
      // The tokens exist nowhere else, so a store that fails just now is tried again.
      const record = recordAfter(over.record, tokens, { requestedAt, now: clock.now(), target })
      const result = await insist(sessions.renewal(over, record))
      if (result.outcome === 'stored') return result.session
      const current = result.outcome === 'gone' ? undefined : await insist(() => sessions.reload(session))
      if (!current) {
        // Logged out while the grant ran: it stays dead.
        count('gone')
        await revoke(refreshToken, log)
        throw new GatewayError('BFF_SESSION_REQUIRED')
      }
      // The lock had lapsed, and another holder stored its tokens. They are the newer ones, unless they came with
      // no refresh token of their own: then what is stored is the one that this grant has spent.
      const spent = session.record.tokenSet.refreshToken
      const isNewest = refreshToken !== undefined && current.record.tokenSet.refreshToken === spent
      // A token for one API replaces none of the others, so it is kept at any rate.
      if (!isNewest && !target) return current
      if (!isNewest) tokens = withoutRefreshToken(granted)
      over = current
    }
  }

  /**
   * Does what has to reach the store once the refresh token is spent. The lock must outlive it, or another holder would
   * spend that token once more.
   */
  async function untilStored<T>(write: () => Promise<T>, holder: Pick<Holder, 'keep'>): Promise<T> {
    const giveUpAt = clock.monotonic() + insistForMs
    for (let retryInMs = 50; ; retryInMs = Math.min(2 * retryInMs, 1000)) {
      // Not waited for: it goes ahead of the write.
      void holder.keep()
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
    // Many issuers revoke no JWT, and say so by an error.
    await issuer.revoke(accessToken, 'access_token').catch(() => {
      log.warn({ event: 'token.revocation.failed', tokenType: 'access_token' })
    })
  }
}

function withoutRefreshToken({ refreshToken: _, ...granted }: GrantedTokens): GrantedTokens {
  return granted
}
