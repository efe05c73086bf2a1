import { type AddressedRequest, clientAddress } from '../http-server/client-address.ts'
import { redactSecrets } from './redact-secrets.ts'
import { serializeError } from './serialize-error.ts'

export const serializers = { err: serializeError, req: serializeRequest }

/**
 * Options for Fastify's logger (pino). Nothing that could hold a token, cookie or authorization code is ever given
 * to it; the redaction stands behind that.
 *
 * @param level of pino
 */
export function loggerOptions(level: string) {
  return { level, serializers, hooks: { streamWrite: redactSecrets } }
}

/** Without the query, which holds the authorization code at the callback. */
function serializeRequest(request: AddressedRequest & { method: string; url: string }) {
  const { method, url } = request
  return { method, url: url.split('?', 1)[0] ?? '', remoteAddress: clientAddress(request) ?? '' }
}
