import { GatewayError } from '../../errors/catalogue.ts'
import type { SessionEndReason } from '../../observability/metrics.ts'
import { type SessionInfo, sessionInfo } from '../session-info.ts'
import type { Session } from '../sessions.ts'

/** A session that is over: an issuer's notice says no more than whose or which it was. */
export type EndedSession = Pick<SessionInfo, 'issuer'> & Partial<SessionInfo>

/** What an application wants to be told of its users' sessions, or to have a say in. No token is among it. */
export interface SessionHooks<Request> {
  /**
   * Changes the claims of a login before they are stored: adds roles, drops what is not needed. Awaited. Whatever it
   * throws rejects the login: nobody is signed in, and the log says why.
   */
  onClaims?(claims: Record<string, unknown>): Record<string, unknown> | Promise<Record<string, unknown>>
  /**
   * A session has begun. Awaited before the browser is answered, so that what it writes is there for the first page;
   * a failure is logged and the login goes on. `request.session` is there, and `request.accessToken()` works.
   */
  onLogin?(session: SessionInfo, request: Request): void | Promise<void>
  /** Tokens were renewed, by this process. Not awaited; a failure is logged. */
  onRenewed?(session: SessionInfo): void | Promise<void>
  /**
   * A session was ended, by this process; one that merely runs out of time is not noticed. After an issuer's notice
   * all that is known is `issuer` and `sid`, or `issuer` and `subject` when all of a user's sessions have ended. One
   * of them has, of which no more is known either, when the reason is `evicted_by_user_limit`. Not awaited; a failure
   * is logged.
   */
  onLogout?(session: EndedSession, reason: SessionEndReason): void | Promise<void>
}

export interface SessionEvents<Request> {
  /** @throws GatewayError BFF_LOGIN_REJECTED when the application has thrown, which is then its cause */
  claims(claims: Record<string, unknown>): Promise<Record<string, unknown>>
  begun(session: Session, request: Request): Promise<void>
  renewed(session: Session): void
  ended(session: EndedSession, reason: SessionEndReason): void
}

/** @param onFailure of a hook that breaks nothing */
export function createSessionEvents<Request>(
  hooks: SessionHooks<Request>,
  onFailure: (hook: keyof SessionHooks<Request>, error: unknown) => void,
): SessionEvents<Request> {
  return {
    async claims(claims) {
      try {
        const changed = hooks.onClaims ? await hooks.onClaims(claims) : claims
        if (typeof changed === 'object' && changed !== null) return changed
        throw new TypeError('onClaims must return the claims')
      } catch (cause) {
        throw new GatewayError('BFF_LOGIN_REJECTED', { cause })
      }
    },
    begun: (session, request) =>
      callHook('onLogin', async () => hooks.onLogin?.(sessionInfo(session), request)),
    renewed: (session) => void callHook('onRenewed', async () => hooks.onRenewed?.(sessionInfo(session))),
    ended: (session, reason) => void callHook('onLogout', async () => hooks.onLogout?.(session, reason)),
  }

  async function callHook(hook: keyof SessionHooks<Request>, call: () => Promise<void>): Promise<void> {
    await call().catch((error: unknown) => onFailure(hook, error))
  }
}
