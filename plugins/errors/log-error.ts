import type { GatewayError } from './catalogue.ts'

/** The part of a pino logger that is needed here. */
interface Log {
  error(fields: object, message: string): void
  debug(fields: object, message: string): void
}

/** What is wrong here, or with what the gateway needs, is told; what is wrong with a request only to who asks for it. */
export function logError(log: Log, error: GatewayError): void {
  // Of an overload there is one line for all requests.
  if (error.statusCode >= 500 && error.code !== 'BFF_OVERLOADED') log.error({ err: error }, error.message)
  else log.debug({ err: error }, error.message)
}
