import { type AddressedRequest, clientAddress } from '../../http/client-address.ts'
import { serializeError } from './serialize-error.ts'

export const serializers = { err: serializeError, req: serializeRequest }

/**
 * Options for Fastify's logger (pino). The code never logs values that could hold a token, cookie or authorization
 * code; the redaction is a second line of defence.
 *
 * @param level pino's log level
 */
export function loggerOptions(level: string) {
  return { level, serializers, hooks: { streamWrite: redactSecrets } }
}

/** Without the query, which holds the authorization code at the callback. */
function serializeRequest(request: AddressedRequest & { method: string; url: string }) {
  const { method, url } = request
  return { method, url: url.split('?', 1)[0] ?? '', remoteAddress: clientAddress(request) ?? '' }
}

const secret = '(?:authorization|(?:set-)?cookie|(?:access|refresh|id)_?token|request_uri)'
const holdsSecret = new RegExp(`"${secret}":`, 'i')
const isSecret = new RegExp(`^${secret}$`, 'i')

/**
 * Redacts the members of a log line that are named like tokens, cookies or credentials, at any depth. Checking the
 * finished line costs nothing for messages below the log level.
 *
 * @param line JSON, ending in a line break
 */
export function redactSecrets(line: string): string {
  return holdsSecret.test(line) ? `${JSON.stringify(JSON.parse(line, redact))}\n` : line
}

function redact(name: string, value: unknown): unknown {
  return isSecret.test(name) ? '[Redacted]' : value
}
