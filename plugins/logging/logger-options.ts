import { type AddressedRequest, clientAddress } from '../../http/client-address.ts'
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

const secret = '(?:authorization|(?:set-)?cookie|(?:access|refresh|id)_?token|request_uri)'
const holdsSecret = new RegExp(`"${secret}":`, 'i')
const isSecret = new RegExp(`^${secret}$`, 'i')

/**
 * A log line whose members that are named as tokens, cookies or credentials have lost their values, however deep they
 * lie in it. Looking at the line rather than at what it is made of costs nothing where nothing is logged.
 *
 * @param line JSON, with a line break at its end
 */
export function redactSecrets(line: string): string {
  return holdsSecret.test(line) ? `${JSON.stringify(JSON.parse(line, redact))}\n` : line
}

function redact(name: string, value: unknown): unknown {
  return isSecret.test(name) ? '[Redacted]' : value
}
