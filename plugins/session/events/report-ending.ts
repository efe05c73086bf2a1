import type { IssuerRefusal } from '../../issuer/grant-failure.ts'
import type { Metrics, SessionEndReason } from '../../observability/metrics.ts'
import { sessionInfo } from '../session-info.ts'
import type { Session } from '../sessions.ts'
import type { EndedSession, SessionEvents } from './session-events.ts'

/** Tells metrics, the application and the log that this process has just ended a session. */
export type ReportEnding = (
  session: Pick<Session, 'record' | 'expiresAt'>,
  reason: SessionEndReason,
  log: EndingLog,
  /** What the issuer said, when it was the issuer's refusal that ended it. */
  refusal?: IssuerRefusal,
) => void

/** The part of a logger that is needed. Its lines name the session's user and hash by themselves. */
export interface EndingLog {
  info(fields: object): void
}

export interface EndingReportOptions {
  metrics: Pick<Metrics, 'sessionEnded'>
  events: Pick<SessionEvents<never>, 'ended'>
}

/** For every cause of an end the same: metric, hook and log line. */
export function createEndingReport(options: EndingReportOptions): ReportEnding {
  return (session, reason, log, refusal) =>
    report(options, { ended: sessionInfo(session), reason, log }, refusal)
}

/**
 * Tells the same of sessions that were ended without being read, by an index or their identifier.
 * @param count how many there were
 * @param fields for the log: whose they were
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
