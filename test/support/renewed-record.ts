import type { SessionRecord } from '../../plugins/oidc-session/session-record.ts'
import type { Session } from '../../plugins/oidc-session/sessions.ts'
import type { TokenSet } from '../../plugins/oidc-session/token-set.ts'

/** A session's record as it is once these tokens have replaced its own. */
export function renewedRecord({ record }: Session, tokenSet: TokenSet, renewedAt = 0): SessionRecord {
  return { ...record, tokenSet, renewals: record.renewals + 1, renewedAt }
}
