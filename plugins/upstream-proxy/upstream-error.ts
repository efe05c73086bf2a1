import { GatewayError } from '../errors/catalogue.ts'

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
