import { GatewayError } from '../errors/catalogue.ts'
import type { Metrics } from '../observability/metrics.ts'

export interface UpstreamCall {
  method: string
  /** Without its query, which may hold anything. */
  url: string
  /** Prefix of the upstream. */
  upstream: string
}

/** As pino has it. */
interface Log {
  info(line: object): void
}

/** One request to an upstream, from now on. */
export interface Report {
  answered(statusCode: number): void
  /** Without an answer. Why is told elsewhere. */
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

/** What a client is told when the upstream could not be asked: it tells neither address nor reason. */
export function upstreamError(cause: unknown): GatewayError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return new GatewayError(timeouts.has(code) ? 'BFF_UPSTREAM_TIMEOUT' : 'BFF_UPSTREAM_UNREACHABLE', { cause })
}
