import type { IncomingMessage, RequestListener, Server } from 'node:http'
import { createSecureServer } from 'node:http2'
import { maxHeaderFields, maxHeaderListBytes } from '../../http/limits.ts'
import { GatewayRequest, GatewayResponse } from './http2-messages.ts'
import { withKnownMethod } from './known-method.ts'

/** Older versions have known weaknesses. @see https://www.rfc-editor.org/rfc/rfc8996 */
export const minTlsVersion = 'TLSv1.2'

/** What Node's own HTTP server would be told about HTTP/1.1. */
export interface Http1Options {
  requireHostHeader: boolean
  maxHeaderSize: number
  headersTimeout: number
  connectionsCheckingInterval: number
  shouldUpgradeCallback: (this: Server, request: IncomingMessage) => boolean
}

/**
 * A server for TLS that speaks HTTP/2 with those who can and HTTP/1.1 with the others, WebSockets among them. It has
 * no certificate yet: that comes, and is replaced, by `setSecureContext`.
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
      // As long as for the headers, since it too is what a client has to do before it is one.
      handshakeTimeout: http1.headersTimeout,
      noDelay: true,
      settings: { maxConcurrentStreams: 100, maxHeaderListSize: maxHeaderListBytes },
      maxHeaderListPairs: maxHeaderFields,
      Http2ServerRequest: GatewayRequest,
      Http2ServerResponse: GatewayResponse,
    },
    withKnownMethod(listener as never) as never,
  )
  // Node has these for HTTP/1.1 beside HTTP/2 too, though not always as options. A body has its own time limit.
  Object.assign(server, http1, { keepAliveTimeout: keepAliveTimeoutMs, requestTimeout: 0 })
  server.on('session', (session) => session.setTimeout(keepAliveTimeoutMs, () => session.close()))
  // To Fastify and its plugins it is one of Node's servers like any other.
  return server as unknown as Server
}
