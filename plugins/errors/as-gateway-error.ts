import { StoreUnavailableError } from '../session-store/store.ts'
import { GatewayError } from './catalogue.ts'

/** Finds the catalogue's words for whatever was thrown. What nobody foresaw tells the client nothing. */
export function asGatewayError(thrown: unknown): GatewayError | ClientFault {
  if (thrown instanceof GatewayError) return thrown
  if (thrown instanceof StoreUnavailableError)
    return new GatewayError('BFF_STORE_UNAVAILABLE', { cause: thrown })
  return isClientFault(thrown) ? thrown : new GatewayError('BFF_INTERNAL_ERROR', { cause: thrown })
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
