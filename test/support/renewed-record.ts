import type { TokenSet } from '../../plugins/issuer/token-set.ts'
import type { Session } from '../../plugins/session/session.ts'
import type { SessionRecord } from '../../plugins/session/session-record.ts'

/** A session's record with its tokens replaced by these. */
export function renewedRecord({ record }: Session, tokenSet: TokenSet, renewedAt = 0): SessionRecord {
  return { ...record, tokenSet, renewals: record.renewals + 1, renewedAt }
}
