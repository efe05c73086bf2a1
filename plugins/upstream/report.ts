import { GatewayError } from '../errors/catalogue.ts'
import type { Metrics } from '../observability/metrics.ts'

/** The part of a pino logger that is needed here. */
export interface Log {
  info(line: object): void
  /** Loggers other than pino's may lack it. */
  isLevelEnabled?(level: 'info'): boolean
}

/** Log line and duration metric of each request to one upstream. */
export interface Reports {
  /** @param path without the query, which may hold secrets. @param startedAt by `performance.now()` */
  answered(log: Log, method: string, path: string, startedAt: number, statusCode: number): void
  /** The request got no answer. The error handler logs the cause. */
  failed(startedAt: number, error: GatewayError): void
}

/** The report of one request. */
export interface Report {
  answered(statusCode: number): void
  failed(error: GatewayError): void
}

/** @param path without the query */
export function startReport(
  reports: Reports,
  { log, method }: { log: Log; method: string },
  path: string,
): Report {
  const startedAt = performance.now()
  return {
    answered: (statusCode) => reports.answered(log, method, path, startedAt, statusCode),
    failed: (error) => reports.failed(startedAt, error),
  }
}

/** @param upstream prefix of the upstream */
export function createReports(origin: string, upstream: string, metrics: Metrics): Reports {
  const measure = metrics.upstreamDuration(upstream)
  return {
    answered(log, method, path, startedAt, statusCode) {
      const ms = performance.now() - startedAt
      measure(statusCode, ms)
      // Below the log level not even the line's fields are put together.
      if (log.isLevelEnabled && !log.isLevelEnabled('info')) return
      const durationMs = Math.round(ms)
      log.info({ event: 'upstream.response', method, url: origin + path, statusCode, durationMs })
    },
    failed(startedAt, { statusCode }) {
      measure(statusCode, performance.now() - startedAt)
    },
  }
}

const timeouts = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
])

/** The client's error for an upstream that could not be reached. It discloses neither address nor cause. */
export function upstreamError(cause: unknown): GatewayError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return new GatewayError(timeouts.has(code) ? 'BFF_UPSTREAM_TIMEOUT' : 'BFF_UPSTREAM_UNREACHABLE', { cause })
}
