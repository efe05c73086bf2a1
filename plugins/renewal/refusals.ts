import type { Clock } from '../../lib/clock.ts'
import type { IssuerRefusal } from '../issuer/grant-failure.ts'
import type { Session, Sessions } from '../session/sessions.ts'
import { StoreUnavailableError } from '../session-store/store.ts'

/** So many refusals in a row end a session whose access token has expired. */
const endAfter = 3

export interface RefusalsOptions {
  sessions: Pick<Sessions, 'renewal'>
  clock: Pick<Clock, 'now'>
}

/**
 * Counts in the session's record how often in a row the issuer has refused its refresh token by an error that could
 * also have another cause. Some issuers say of a dead refresh token `invalid_request`, as Dex does, or a code of their
 * own. A single such answer proves nothing; if all processes get it three times and nothing else, only a login helps.
 */
export function createRefusals({ sessions, clock }: RefusalsOptions) {
  return { isLast, note }

  /** Whether this refusal, which has not been noted, is one too many. */
  function isLast({ record }: Session): boolean {
    const { expiresAt } = record.tokenSet
    const isExpired = expiresAt !== undefined && expiresAt <= clock.now()
    return isExpired && (record.refusals ?? 0) + 1 >= endAfter
  }

  /** @param refusal unset: the grant failed in another way, and the row has ended */
  async function note(session: Session, refusal: IssuerRefusal | undefined): Promise<void> {
    const { refusals: before = 0, ...record } = session.record
    const refusals = refusal ? Math.min(before + 1, endAfter) : 0
    if (refusals === before) return
    const noted = sessions.renewal(session, refusals > 0 ? { ...record, refusals } : record)
    // One that can't be noted is one less. If there is a newer version, it is no longer about this one.
    await noted().catch((error: unknown) => {
      if (!(error instanceof StoreUnavailableError)) throw error
    })
  }
}
