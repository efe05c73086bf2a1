import { randomUUID } from 'node:crypto'
import { METHODS } from 'node:http'
import { GatewayError } from '../errors/catalogue.ts'
import { answerDirectly } from '../errors/malformed-request.ts'
import type { GatewayRequest, GatewayResponse } from './http2-messages.ts'

type Http2Listener = (request: GatewayRequest, response: GatewayResponse) => void

/**
 * Rejects methods that the HTTP/1.1 parser would reject: over HTTP/2 Node accepts any word, and Fastify's router treats
 * an unknown one as an internal error, which it logs with all of its routes.
 */
export function withKnownMethod(listener: Http2Listener): Http2Listener {
  const known = new Set(METHODS)
  return (request, response) => {
    if (known.has(request.method)) listener(request, response)
    else answerDirectly(response, new GatewayError('BFF_MALFORMED_REQUEST'), randomUUID())
  }
}
