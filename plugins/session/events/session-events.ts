import { GatewayError } from '../../errors/catalogue.ts'
import type { IssuerRefusal } from '../../issuer/grant-failure.ts'
import type { Metrics, SessionEndReason } from '../../observability/metrics.ts'
import { type SessionInfo, sessionInfo } from '../claims.ts'
import { type Session, sessionHash } from '../session.ts'
import type { FoundEnd } from '../sessions.ts'

/** An ended session. After an issuer's logout notice only its subject or `sid` is known. */
export type EndedSession = Pick<SessionInfo, 'issuer'> & Partial<SessionInfo>

/** Hooks of an application for its users' sessions. They receive no tokens. */
export interface SessionHooks<Request> {
  /**
   * Changes the claims of a login before they are stored, for example to add roles or drop claims. Awaited. If it
   * throws, the login is rejected and the error is logged.
   */
  onClaims?(claims: Record<string, unknown>): Record<string, unknown> | Promise<Record<string, unknown>>
  /**
   * A session has begun. Awaited before the response, so that data it writes is available to the first page; a
   * failure is logged and the login continues. `request.session` is set, and `request.accessToken()` works.
   */
  onLogin?(session: SessionInfo, request: Request): void | Promise<void>
  /** This process has renewed a session's tokens. Not awaited; a failure is logged. */
  onRenewed?(session: SessionInfo): void | Promise<void>
  /**
   * This process has ended a session. Not called when a session expires by its timeout. After an issuer's notice only
   * `issuer` and `sid` are set, or `issuer` and `subject` if all of a user's sessions were ended. With the reason
   * `evicted_by_user_limit` only `issuer` and `subject` are set, and one session was ended. Not awaited; a failure is
   * logged.
   */
  onLogout?(session: EndedSession, reason: SessionEndReason): void | Promise<void>
}

export interface SessionEvents<Request> {
  /** @throws GatewayError BFF_LOGIN_REJECTED when the application's hook throws; its error is the `cause` */
  claims(claims: Record<string, unknown>): Promise<Record<string, unknown>>
  started(session: Session, request: Request): Promise<void>
  renewed(session: Session): void
  ended(session: EndedSession, reason: SessionEndReason): void
}

/** @param onFailure called when a hook fails whose failure is only logged */
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
    started: (session, request) =>
      callHook('onLogin', async () => hooks.onLogin?.(sessionInfo(session), request)),
    renewed: (session) => void callHook('onRenewed', async () => hooks.onRenewed?.(sessionInfo(session))),
    ended: (session, reason) => void callHook('onLogout', async () => hooks.onLogout?.(session, reason)),
  }

  async function callHook(hook: keyof SessionHooks<Request>, call: () => Promise<void>): Promise<void> {
    await call().catch((error: unknown) => onFailure(hook, error))
  }
}

/** Reports to metrics, the application's hook and the log that this process has ended a session. */
export type ReportEnding = (
  session: Pick<Session, 'record' | 'expiresAt'>,
  reason: SessionEndReason,
  log: EndingLog,
  /** The issuer's error, if its refusal was the reason. */
  refusal?: IssuerRefusal,
) => void

/** The part of a logger that is used. Its bindings already include the session's user and hash. */
export interface EndingLog {
  info(fields: object): void
}

export interface EndingReportOptions {
  metrics: Pick<Metrics, 'sessionEnded'>
  events: Pick<SessionEvents<never>, 'ended'>
}

/** The same for every reason: metric, hook and log line. */
export function createEndingReport({ metrics, events }: EndingReportOptions): ReportEnding {
  return (session, reason, log, refusal) => {
    metrics.sessionEnded(reason)
    events.ended(sessionInfo(session), reason)
    logEnding(log, reason, refusal)
  }
}

/**
 * Reports sessions that were ended by an index or identifier, without reading their records: one call of the hook, and
 * a log line for each.
 * @param ids keys of their records
 * @param fields log fields that say whose sessions they were
 */
export type ReportUnreadEndings = (
  ended: EndedSession,
  reason: SessionEndReason,
  log: EndingLog,
  ids: string[],
  fields: object,
) => void

export function createUnreadEndingsReport({ metrics, events }: EndingReportOptions): ReportUnreadEndings {
  return (ended, reason, log, ids, fields) => {
    metrics.sessionEnded(reason, ids.length)
    if (ids.length > 0) events.ended(ended, reason)
    for (const id of ids) logEnding(log, reason, { sessionHash: sessionHash({ id }), ...fields })
  }
}

/** Reports that a session has expired or was lost, which its record can't tell any more. There is no hook for it. */
export type ReportFoundEnding = (found: FoundEnd, log: EndingLog) => void

export function createFoundEndingReport({
  metrics,
}: Pick<EndingReportOptions, 'metrics'>): ReportFoundEnding {
  return ({ reason, sessionHash, user }, log) => {
    // The store has counted an eviction.
    if (reason !== 'evicted') metrics.sessionEnded(reason)
    logEnding(log, reason, { sessionHash, ...(user !== undefined && { user }) })
  }
}

/** Logs the end of one session. */
export function logEnding(log: EndingLog, reason: SessionEndReason, fields: object = {}): void {
  log.info({ event: 'session.ended', reason, ...fields })
}
