import type { IssuerRefusal } from '../../issuer/grant-failure.ts'
import type { Metrics, SessionEndReason } from '../../observability/metrics.ts'
import { sessionInfo } from '../session-info.ts'
import type { Session } from '../sessions.ts'
import type { EndedSession, SessionEvents } from './session-events.ts'

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
export function createEndingReport(options: EndingReportOptions): ReportEnding {
  return (session, reason, log, refusal) =>
    report(options, { ended: sessionInfo(session), reason, log }, refusal)
}

/**
 * Reports sessions that were ended by an index or identifier, without reading their records.
 * @param count number of sessions
 * @param fields log fields that identify the user or session
 */
export type ReportUnreadEndings = (
  ended: EndedSession,
  reason: SessionEndReason,
  log: EndingLog,
  count: number,
  fields: object,
) => void

export function createUnreadEndingsReport(options: EndingReportOptions): ReportUnreadEndings {
  return (ended, reason, log, count, fields) => report(options, { ended, reason, log, count }, fields)
}

interface Ending {
  ended: EndedSession
  reason: SessionEndReason
  log: EndingLog
  count?: number
}

function report(
  { metrics, events }: EndingReportOptions,
  { ended, reason, log, count = 1 }: Ending,
  fields: object = {},
): void {
  metrics.sessionEnded(reason, count)
  if (count > 0) events.ended(ended, reason)
  log.info({ event: 'session.ended', reason, ...fields })
}
