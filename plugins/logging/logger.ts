import { createHash } from 'node:crypto'
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
  return { level, serializers, hooks: { streamWrite: redactSecrets }, mixin, onChild }
}

const lineFields = Symbol('fields of each line')
const noFields: object = {}

/** A logger made with {@link loggerOptions}. Its children inherit the fields. */
interface GatewayLog {
  [lineFields]: object
}

/** pino puts the returned fields into the line, and changes the object for that. */
function mixin(_line: object, _level: number, log: object | GatewayLog): object {
  return lineFields in log ? { ...log[lineFields] } : {}
}

function onChild(child: object): void {
  if (!(lineFields in child)) Object.assign(child, { [lineFields]: noFields } satisfies GatewayLog)
}

/** Without the query, which holds the authorization code at the callback. */
function serializeRequest(request: AddressedRequest & { method: string; url: string }) {
  const { method, url } = request
  return { method, url: url.split('?', 1)[0] ?? '', remoteAddress: clientAddress(request) ?? '' }
}

const secret =
  '(?:authorization|(?:set-)?cookie|(?:access|refresh|id)_?token|dpop(?:_?key)?|login_?key|request_uri)'
const holdsSecret = new RegExp(`"${secret}":`, 'i')
const isSecret = new RegExp(`^${secret}$`, 'i')

/**
 * Redacts the members of a log line that are named like tokens, cookies or credentials, at any depth. Checking the
 * finished line costs nothing for messages below the log level.
 *
 * @param line JSON, ending in a line break
 */
function redactSecrets(line: string): string {
  return holdsSecret.test(line) ? `${JSON.stringify(JSON.parse(line, redact))}\n` : line
}

function redact(name: string, value: unknown): unknown {
  return isSecret.test(name) ? '[Redacted]' : value
}

/** The logger methods that Fastify requires, and optional ones of pino. */
interface Log {
  child(bindings: object): Log
  bindings?(): Record<string, unknown>
  setBindings?(bindings: object): void
}

interface LoggedRequest<L extends Log> {
  id: string
  log: L
  server: { initialConfig: { requestIdLogLabel?: string } }
}

/**
 * Adds fields to all further log lines of a request. To the gateway's own logger, they are added only when a line is
 * written: most requests write none. To an application's, they are added as bindings where possible: with a child
 * logger per request each line costs about as much as ten.
 */
export function addToLog<L extends Log>(request: LoggedRequest<L>, bindings: object): void {
  const { log } = request
  if (lineFields in log) log[lineFields] = joined(log[lineFields] as object, bindings)
  else if (isOwnLogger(request) && log.setBindings) log.setBindings(bindings)
  else request.log = log.child(bindings) as L
}

/** Both objects' members. Getters stay getters, so that they are called only for a line that is written. */
function joined(before: object, bindings: object): object {
  if (before === noFields) return bindings
  const members = Object.getOwnPropertyDescriptors(before)
  return Object.defineProperties({}, { ...members, ...Object.getOwnPropertyDescriptors(bindings) })
}

/**
 * Whether the logger belongs to this request only, shown by the request's ID in its bindings. An application may let
 * requests share a logger (`childLoggerFactory`), whose next lines may be about another user.
 */
function isOwnLogger<L extends Log>({ id, log, server }: LoggedRequest<L>): boolean {
  return log.bindings?.()[server.initialConfig.requestIdLogLabel ?? ''] === id
}

/** A stand-in for a value that must not be logged: the first 16 bytes of its SHA-256, base64url. */
export function hashForLog(text: string): string {
  return createHash('sha256').update(text).digest().subarray(0, 16).toString('base64url')
}
