import { decodeJwt } from 'jose'
import type { AccessToken } from '../issuer/token-set.ts'
import type { TokenTarget } from '../issuer/token-target.ts'
import type { SessionRecord } from '../session/session-record.ts'
import type { Session } from '../session/sessions.ts'

export type HeldToken = AccessToken & Pick<SessionRecord, 'renewals' | 'renewedAt'>

/** The session's access token for `target`; without a target, its own. */
export function heldToken(
  { tokenSet, renewals, renewedAt, apiTokens }: SessionRecord,
  target: TokenTarget | undefined,
): HeldToken | undefined {
  if (target) return apiTokens?.[target.key]
  return { ...tokenSet, renewals, ...(renewedAt !== undefined && { renewedAt }) }
}

/** Whether the session's token for `target` was renewed since `seen` was read. */
export function isNewer({ record }: Session, seen: Session, target: TokenTarget | undefined): boolean {
  return heldToken(record, target)?.renewals !== heldToken(seen.record, target)?.renewals
}

/**
 * The token that a grant for `target` needs: access token for an exchange, else refresh token. Undefined if there is
 * none.
 */
export function renewalCredential(
  { tokenSet }: SessionRecord,
  target: TokenTarget | undefined,
): string | undefined {
  return target?.grant === 'exchange' ? tokenSet.accessToken : tokenSet.refreshToken
}

/**
 * Whether the ID token of a refresh response is for the session's user: same `iss`, `sub` and audience. It came from
 * the token endpoint over TLS, so its signature need not be checked (OpenID Connect Core 3.1.3.7 item 6).
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
