import { decodeJwt } from 'jose'
import type { SessionRecord } from '../oidc-session/session-record.ts'

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
