import { randomUUID } from 'node:crypto'
import type { DemoIssuer } from '../../demo/issuer.ts'

export const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'

/** The claims of a valid logout token, changed by `claims`; undefined removes a claim. */
export function logoutClaims(
  { issuer, clientId }: Pick<DemoIssuer, 'issuer' | 'clientId'>,
  claims: Record<string, unknown>,
): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000)
  return {
    iss: issuer,
    aud: clientId,
    iat: now,
    exp: now + 120,
    jti: randomUUID(),
    events: { [logoutEvent]: {} },
    ...claims,
  }
}
