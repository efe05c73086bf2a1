import type { Clock } from '../../lib/clock.ts'
import type { IssuerRefusal } from '../issuer/grant-failure.ts'
import type { Session, Sessions } from '../session/sessions.ts'
import { StoreUnavailableError } from '../session-store/store.ts'

/** This many consecutive refusals end a session whose access token has expired. */
const maxRefusals = 3

export interface RefusalsOptions {
  sessions: Pick<Sessions, 'renewal'>
  clock: Pick<Clock, 'now'>
}

/**
 * Counts, in the session's record, consecutive refusals of its refresh token whose error code is ambiguous. For an
 * invalid refresh token some issuers send `invalid_request` (Dex, for example) or a code of their own. One such answer
 * proves nothing; after three in a row, over all processes, only a new login helps.
 */
export function createRefusals({ sessions, clock }: RefusalsOptions) {
  return { isOneTooMany, note }

  /** Whether a further refusal, not yet counted, ends the session. */
  function isOneTooMany({ record }: Session): boolean {
    const { expiresAt } = record.tokenSet
    const isExpired = expiresAt !== undefined && expiresAt <= clock.now()
    return isExpired && (record.refusals ?? 0) + 1 >= maxRefusals
  }

  /** @param refusal unset: the grant failed in another way, which resets the count */
  async function note(session: Session, refusal: IssuerRefusal | undefined): Promise<void> {
    const { refusals: before = 0, ...record } = session.record
    const refusals = refusal ? Math.min(before + 1, maxRefusals) : 0
    if (refusals === before) return
    const noted = sessions.renewal(session, refusals > 0 ? { ...record, refusals } : record)
    // Best effort: an outage of the store loses one count. A conflict means newer tokens, which the refusal is not
    // about.
    await noted().catch((error: unknown) => {
      if (!(error instanceof StoreUnavailableError)) throw error
    })
  }
}
