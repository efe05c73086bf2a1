import { createHash } from 'node:crypto'

/** As much of a logger as Fastify demands, and what pino has besides. */
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
 * From now on all lines of a request say this too. To pino's logger for the request it is added: with a child of a
 * logger that itself lives no longer than a request, each line costs as much as ten.
 */
export function addToLog<L extends Log>(request: LoggedRequest<L>, bindings: object): void {
  const { log } = request
  if (isOfThisRequest(request) && log.setBindings) log.setBindings(bindings)
  else request.log = log.child(bindings) as L
}

/**
 * Its lines have the request's identifier. An application may let requests share a logger (`childLoggerFactory`),
 * whose next lines are about somebody else.
 */
function isOfThisRequest<L extends Log>({ id, log, server }: LoggedRequest<L>): boolean {
  return log.bindings?.()[server.initialConfig.requestIdLogLabel ?? ''] === id
}

/** Names in the log what must not stand there itself: the first 16 bytes of its SHA-256, base64url. */
export function hashForLog(text: string): string {
  return createHash('sha256').update(text).digest().subarray(0, 16).toString('base64url')
}
