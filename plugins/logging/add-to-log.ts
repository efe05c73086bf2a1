import { createHash } from 'node:crypto'

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
 * Adds fields to all further log lines of a request. They are added to the request's own pino logger where possible:
 * with a child logger per request each line costs about as much as ten.
 */
export function addToLog<L extends Log>(request: LoggedRequest<L>, bindings: object): void {
  const { log } = request
  if (isOwnLogger(request) && log.setBindings) log.setBindings(bindings)
  else request.log = log.child(bindings) as L
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
