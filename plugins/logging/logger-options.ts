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
function serializeRequest({ method, url, ip }: { method: string; url: string; ip: string }) {
  return { method, url: url.split('?', 1)[0] ?? '', remoteAddress: ip }
}
