import { type ErrorCode, GatewayError } from './catalogue.ts'

/** Finds the catalogue's words for whatever was thrown. What nobody foresaw tells the client nothing. */
export function asGatewayError(thrown: unknown): GatewayError | ClientFault {
  if (thrown instanceof GatewayError) return thrown
  if (isStoreUnavailable(thrown)) return new GatewayError('BFF_STORE_UNAVAILABLE', { cause: thrown })
  const fault = fastifyFault(thrown)
  if (fault) return new GatewayError(fault, { cause: thrown })
  return isClientFault(thrown) ? thrown : new GatewayError('BFF_INTERNAL_ERROR', { cause: thrown })
}

/** By its code: the session store stands above this folder. */
function isStoreUnavailable(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'STORE_UNAVAILABLE'
}

/** What Fastify itself says of a body that it does not read. */
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

/** A 4xx that Fastify itself raises, such as a body that is no JSON. */
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
  debug(fields: object, message: string): void
}

/** Of these there is one line for all requests. */
const toldOnce: ReadonlySet<ErrorCode> = new Set(['BFF_OVERLOADED', 'BFF_SHUTTING_DOWN'])

/** What is wrong here, or with what the gateway needs, is told; what is wrong with a request only to who asks for it. */
export function logError(log: Log, error: GatewayError): void {
  if (error.statusCode >= 500 && !toldOnce.has(error.code)) log.error({ err: error }, error.message)
  else log.debug({ err: error }, error.message)
}
