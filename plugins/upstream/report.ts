import { GatewayError } from '../errors/catalogue.ts'
import type { Metrics } from '../observability/metrics.ts'

export interface UpstreamCall {
  method: string
  /** Without the query, which may hold secrets. */
  url: string
  /** Prefix of the upstream. */
  upstream: string
}

/** The part of a pino logger that is needed here. */
interface Log {
  info(line: object): void
}

/** Log line and duration metric of one request to an upstream. */
export interface Report {
  answered(statusCode: number): void
  /** The request got no answer. The error handler logs the cause. */
  failed(error: GatewayError): void
}

export function startReport(call: UpstreamCall, log: Log, metrics: Metrics): Report {
  const { method, url, upstream } = call
  const startedAt = performance.now()
  const measure = (statusCode: number) => {
    const ms = performance.now() - startedAt
    metrics.upstreamAnswered(upstream, statusCode, ms)
    return Math.round(ms)
  }
  return {
    answered(statusCode) {
      log.info({ event: 'upstream.response', method, url, statusCode, durationMs: measure(statusCode) })
    },
    failed({ statusCode }) {
      measure(statusCode)
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
