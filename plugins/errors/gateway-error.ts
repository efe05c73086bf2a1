import { type ErrorCode, GatewayError } from './catalogue.ts'

/** Maps anything thrown to an error for the client. Unexpected errors become a generic 500. */
export function asGatewayError(thrown: unknown): GatewayError | ClientFault {
  if (thrown instanceof GatewayError) return thrown
  if (isStoreUnavailable(thrown)) return new GatewayError('BFF_STORE_UNAVAILABLE', { cause: thrown })
  const fault = fastifyFault(thrown)
  if (fault) return new GatewayError(fault, { cause: thrown })
  return isClientFault(thrown) ? thrown : new GatewayError('BFF_INTERNAL_ERROR', { cause: thrown })
}

/** Identified by code, since this folder must not import the session store's. */
function isStoreUnavailable(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'STORE_UNAVAILABLE'
}

/** The code for Fastify's own errors about a request's body. */
function fastifyFault(thrown: unknown): ErrorCode | undefined {
  if (!isClientFault(thrown)) return undefined
  switch (thrown.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return 'BFF_BODY_TOO_LARGE'
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return 'BFF_UNSUPPORTED_MEDIA_TYPE'
    default:
      return undefined
  }
}

/** A 4xx error that Fastify throws, such as for a body that is not valid JSON. */
export interface ClientFault {
  statusCode: number
  code: string
  message: string
}

function isClientFault(thrown: unknown): thrown is ClientFault {
  if (!(thrown instanceof Error) || !('statusCode' in thrown) || !('code' in thrown)) return false
  const { statusCode } = thrown
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
}

/** The part of a pino logger that is needed here. */
interface Log {
  error(fields: object, message: string): void
  info(fields: object, message: string): void
  debug(fields: object, message: string): void
}

/** Logged once elsewhere, not for each request. */
const loggedElsewhere: ReadonlySet<ErrorCode> = new Set(['BFF_OVERLOADED', 'BFF_SHUTTING_DOWN'])

/**
 * Logs errors of the gateway or of its dependencies at level error, and clients' errors at debug, except that a user
 * has to log in.
 * @param request for the log's serializer
 */
export function logError(log: Log, error: GatewayError, request?: object): void {
  if (error.statusCode >= 500 && !loggedElsewhere.has(error.code)) log.error({ err: error }, error.message)
  else if (error.statusCode === 401) {
    const { code, details } = error
    log.info(
      { event: 'request.unauthorized', code, details, ...(request && { req: request }) },
      error.message,
    )
  } else log.debug({ err: error }, error.message)
}
