/** As much of a logger as Fastify demands, and what pino has besides. */
interface Log {
  child(bindings: object): Log
  setBindings?(bindings: object): void
}

/**
 * From now on all lines of a request say this too. To pino's logger for the request it is added: with a child of a
 * logger that itself lives no longer than a request, each line costs as much as ten.
 */
export function addToLog<L extends Log>(request: { log: L; server: { log: L } }, bindings: object): void {
  const { log, server } = request
  const isOfThisRequest = log !== server.log
  if (isOfThisRequest && log.setBindings) log.setBindings(bindings)
  else request.log = log.child(bindings) as L
}
