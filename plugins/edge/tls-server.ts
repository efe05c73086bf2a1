import { randomUUID } from 'node:crypto'
import { type IncomingMessage, METHODS, type RequestListener, type Server } from 'node:http'
import { createSecureServer } from 'node:http2'
import { maxHeaderFields, maxHeaderListBytes } from '../../http/limits.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { answerDirectly } from '../errors/malformed-request.ts'
import { GatewayRequest, GatewayResponse } from './http2-messages.ts'

/** Older versions have known weaknesses. @see https://www.rfc-editor.org/rfc/rfc8996 */
export const minTlsVersion = 'TLSv1.2'

/** Options of Node's HTTP server for HTTP/1.1. */
export interface Http1Options {
  requireHostHeader: boolean
  maxHeaderSize: number
  headersTimeout: number
  connectionsCheckingInterval: number
  shouldUpgradeCallback: (this: Server, request: IncomingMessage) => boolean
}

/**
 * A TLS server for HTTP/2 and, for other clients and for WebSockets, HTTP/1.1. It has no certificate yet: set and
 * replace it with `setSecureContext`.
 */
export function createTlsServer(
  listener: RequestListener,
  http1: Http1Options,
  keepAliveTimeoutMs: number,
): Server {
  const server = createSecureServer(
    {
      allowHTTP1: true,
      minVersion: minTlsVersion,
      // The same limit as for headers: both come before a request exists.
      handshakeTimeout: http1.headersTimeout,
      noDelay: true,
      settings: { maxConcurrentStreams: 100, maxHeaderListSize: maxHeaderListBytes },
      maxHeaderListPairs: maxHeaderFields,
      Http2ServerRequest: GatewayRequest,
      Http2ServerResponse: GatewayResponse,
    },
    // In its types Fastify's listener takes only messages of HTTP/1.1, and Node's takes its own message classes.
    withKnownMethod(listener as never) as never,
  )
  // For HTTP/1.1 Node reads these properties here too, but not all as options. Bodies have their own time limit.
  Object.assign(server, http1, { keepAliveTimeout: keepAliveTimeoutMs, requestTimeout: 0 })
  server.on('session', (session) => session.setTimeout(keepAliveTimeoutMs, () => session.close()))
  // Fastify and its plugins use it like a plain HTTP server, but Node's types don't relate the two.
  return server as unknown as Server
}

type Http2Listener = (request: GatewayRequest, response: GatewayResponse) => void

/**
 * Rejects methods that the HTTP/1.1 parser would reject: over HTTP/2 Node accepts any word, and Fastify's router treats
 * an unknown one as an internal error, which it logs with all of its routes.
 */
function withKnownMethod(listener: Http2Listener): Http2Listener {
  const known = new Set(METHODS)
  return (request, response) => {
    if (known.has(request.method)) listener(request, response)
    else answerDirectly(response, new GatewayError('BFF_MALFORMED_REQUEST'), randomUUID())
  }
}
