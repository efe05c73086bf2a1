import type { SessionRecord } from '../oidc-session/session-record.ts'
import type { Session } from '../oidc-session/sessions.ts'
import type { AccessToken } from '../oidc-session/token-set.ts'
import type { TokenTarget } from '../oidc-session/token-target.ts'

export type HeldToken = AccessToken & Pick<SessionRecord, 'renewals' | 'renewedAt'>

/** The token for `target` that a session holds: for none, its own. */
export function heldToken(
  { tokenSet, renewals, renewedAt, apiTokens }: SessionRecord,
  target: TokenTarget | undefined,
): HeldToken | undefined {
  if (target) return apiTokens?.[target.key]
  return { ...tokenSet, renewals, ...(renewedAt !== undefined && { renewedAt }) }
}

/** Whether a session's token for `target` is another one than was seen. Its others may have changed too. */
export function isNewer({ record }: Session, seen: Session, target: TokenTarget | undefined): boolean {
  return heldToken(record, target)?.renewals !== heldToken(seen.record, target)?.renewals
}

/** What is given for a new token; nothing when there is no such thing. */
export function renewedWith(
  { tokenSet }: SessionRecord,
  target: TokenTarget | undefined,
): string | undefined {
  return target?.grant === 'exchange' ? tokenSet.accessToken : tokenSet.refreshToken
}
