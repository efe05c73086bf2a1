import type { GatewayError } from './catalogue.ts'

/** The part of a pino logger that is needed here. */
interface Log {
  error(fields: object, message: string): void
  debug(fields: object, message: string): void
}

/** What is wrong here, or with what the gateway needs, is told; what is wrong with a request only to who asks for it. */
export function logError(log: Log, error: GatewayError): void {
  if (error.statusCode >= 500) log.error({ err: error }, error.message)
  else log.debug({ err: error }, error.message)
}
