import { decodeJwt } from 'jose'
import type { Clock } from '../../lib/clock.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { GrantedTokens } from '../issuer/token-set.ts'
import { hashForLog } from '../logging/logger.ts'
import type { RenewalOutcome } from '../observability/metrics.ts'
import type { RenewalLog } from '../renewal/renewable-token.ts'
import type { RenewalResult } from '../renewal/renewal-lock.ts'
import type { Session } from '../session/session.ts'
import { isRenewedSince, recordAfter, type SessionRecord } from '../session/session-record.ts'
import { StoreUnavailableError } from '../session-store/store.ts'
import type { UserGrantOptions, UserRenewal } from './user-grant.ts'

/** The grant that the tokens come from. */
export interface Grant extends UserRenewal {
  /** Milliseconds since the epoch. */
  requestedAt: number
  count: (outcome: RenewalOutcome) => void
}

/**
 * Stores the tokens of a grant before they are used.
 *
 * @returns the session with the newest tokens: these, or those that another holder has stored meanwhile. Ended when they
 *   are another user's, gone when the session ended meanwhile
 * @throws StoreUnavailableError when the store is unavailable for a minute
 */
export type StoreTokens = (
  session: Session,
  granted: GrantedTokens,
  grant: Grant,
) => Promise<RenewalResult<Session>>

/** How long a write that follows a grant is retried while the store is unavailable. */
const retryStoreForMs = 60_000

export function createStoreTokens({ sessions, issuer, clock, reportEnding }: UserGrantOptions): StoreTokens {
  return async function storeTokens(session, granted, { requestedAt, target, lock, log, storeTime, count }) {
    const storeWithRetries = <T>(write: () => Promise<T>) =>
      storeTime.measure(() => retryUntilStored(write, lock, clock))
    const { uncheckedIdToken, idToken = uncheckedIdToken, refreshToken } = granted
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
        storeWithRetries(() => sessions.end(session, { reason: 'foreign_identity' })),
      ])
      return { outcome: 'ended', tokenError: 'foreign identity' }
    }

    for (let base = session, tokens = granted; ; ) {
      // The tokens exist only in this process, so a failing write is retried.
      const record = recordAfter(base.record, tokens, { requestedAt, now: clock.now(), target })
      const result = await storeWithRetries(sessions.prepareWrite(base, record))
      if (result.outcome === 'stored') return { outcome: 'obtained', value: result.session }
      const current =
        result.outcome === 'gone' ? undefined : await storeWithRetries(() => sessions.reload(session))
      if (!current) {
        // Logged out while the grant ran: the session must not come back.
        count('gone')
        await revoke(refreshToken, log)
        return { outcome: 'gone' }
      }
      // The lock had expired, and another holder has stored its tokens. Those are newer, unless the stored refresh
      // token is the one that this grant has spent.
      const spent = session.record.tokenSet.refreshToken
      const isUnspent = current.record.tokenSet.refreshToken === spent
      // Or something else than tokens has changed, such as the device that the session is bound to.
      const isNewest =
        isUnspent && (refreshToken !== undefined || !isRenewedSince(session.record, current.record, target))
      // A token for one API replaces no other token, so it is stored in any case.
      if (!isNewest && !target) return { outcome: 'obtained', value: current }
      if (!isNewest) tokens = withoutRefreshToken(granted)
      base = current
    }
  }

  async function revoke(refreshToken: string | undefined, log: RenewalLog): Promise<void> {
    if (refreshToken !== undefined) await revokeRefreshToken(issuer, refreshToken, log)
  }

  async function revokeAccessToken(accessToken: string, log: RenewalLog): Promise<void> {
    // Many issuers can't revoke a JWT and answer with an error.
    await issuer.revoke(accessToken, 'access_token').catch(() => {
      log.warn({ event: 'token.revocation.failed', tokenType: 'access_token' })
    })
  }
}

/** Revokes a refresh token that is not needed. A failure is logged. */
export async function revokeRefreshToken(
  issuer: Pick<Issuer, 'revoke'>,
  refreshToken: string,
  log: RenewalLog,
): Promise<void> {
  await issuer.revoke(refreshToken).catch(() => {
    log.warn({ event: 'token.revocation.failed', refreshTokenHash: hashForLog(refreshToken) })
  })
}

/**
 * Retries a write that must succeed because the refresh token is spent. Extends the lock meanwhile: otherwise another
 * holder would send the spent token again.
 */
export async function retryUntilStored<T>(
  write: () => Promise<T>,
  lock: UserRenewal['lock'],
  clock: Clock,
): Promise<T> {
  const giveUpAt = clock.monotonic() + retryStoreForMs
  for (let retryInMs = 50; ; retryInMs = Math.min(2 * retryInMs, 1000)) {
    // Not awaited: it is sent before the write.
    void lock.extend()
    try {
      return await write()
    } catch (error) {
      if (!(error instanceof StoreUnavailableError) || clock.monotonic() >= giveUpAt) throw error
      await clock.sleep(retryInMs)
    }
  }
}

function withoutRefreshToken({ refreshToken: _, ...granted }: GrantedTokens): GrantedTokens {
  return granted
}

/**
 * Whether the ID token of a refresh response is for the session's user: same `iss`, `sub` and audience. Checks no
 * signature: `withCheckedIdToken` (plugins/issuer) has checked it, and leaves out an ID token for which it can't get
 * the issuer's keys.
 *
 * @see https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
 */
export function isSameIdentity(
  idToken: string,
  { issuer, subject }: SessionRecord,
  clientId: string,
): boolean {
  try {
    const { iss, sub, aud } = decodeJwt(idToken)
    const audiences = Array.isArray(aud) ? aud : [aud]
    return iss === issuer && sub === subject && audiences.includes(clientId)
  } catch {
    return false
  }
}
