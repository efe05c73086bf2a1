import { decodeJwt } from 'jose'
import type { AccessToken } from '../issuer/token-set.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import type { SessionRecord } from '../session/session-record.ts'
import type { Session } from '../session/sessions.ts'

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

/**
 * Whether an ID token that a refresh brought is about the session's user: same `iss`, `sub` and audience.
 * It came from the token endpoint over TLS, which stands for its signature (OpenID Connect Core 3.1.3.7 item 6).
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
