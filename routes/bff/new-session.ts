import { randomBytes } from 'node:crypto'
import type { Login } from '../../plugins/issuer/issuer.ts'
import { tokenSetFrom } from '../../plugins/issuer/token-set.ts'
import type { NewSession } from '../../plugins/session/sessions.ts'

/** The session that a login begins. */
export function newSession(login: Login, requestedAt: number): NewSession {
  const { issuer, subject, claims, tokens, sessionState } = login
  const sid = typeof claims['sid'] === 'string' ? claims['sid'] : randomBytes(16).toString('base64url')
  return {
    issuer,
    subject,
    sid,
    claims: { ...claims, sid },
    tokenSet: tokenSetFrom(tokens, requestedAt),
    ...(sessionState !== undefined && { sessionState }),
  }
}
