import { buildConnector, Pool } from 'undici'
import type { UpstreamOptions } from '../../config/index.ts'
import { mendStreams } from './http2.ts'
import { watchConnection } from './watched-connection.ts'

/** Connections to an upstream, which close with the pool. */
export function createPool(upstream: UpstreamOptions): Pool {
  const { target, timeoutMs, connections, keepAliveTimeoutMs } = upstream
  return new Pool(target.origin, {
    connect: connector(upstream),
    headersTimeout: timeoutMs,
    // To the first byte; what streams may go on for as long as it likes.
    bodyTimeout: 0,
    ...(connections !== undefined && { connections }),
    // What the upstream says of it may be less, and no more.
    ...(keepAliveTimeoutMs !== undefined && {
      keepAliveTimeout: keepAliveTimeoutMs,
      keepAliveMaxTimeout: keepAliveTimeoutMs,
    }),
  })
}

function connector(upstream: UpstreamOptions): buildConnector.connector {
  const { connectTimeoutMs: timeout, timeoutMs, http2: allowH2, serverName: servername } = upstream
  const connect = buildConnector({ ...tlsOptions(upstream), timeout, allowH2 })
  return (options, callback) =>
    // undici would ask for the certificate of the request's host.
    connect({ ...options, ...(servername !== undefined && { servername }) }, (...[error, socket]) => {
      if (error) return callback(error, null)
      watchConnection(socket, timeoutMs)
      if (allowH2) mendStreams(socket)
      callback(null, socket)
    })
}

export type TlsSettings = Pick<UpstreamOptions, 'ca' | 'clientCert' | 'clientKey' | 'serverName'>

/** How an upstream is known, and the gateway to it: for requests and WebSockets alike. @see node:tls */
export function tlsOptions({ ca, clientCert, clientKey, serverName }: TlsSettings) {
  return {
    // Or NODE_TLS_REJECT_UNAUTHORIZED would decide.
    rejectUnauthorized: true,
    ...(ca !== undefined && { ca }),
    ...(clientCert !== undefined && { cert: clientCert }),
    ...(clientKey !== undefined && { key: clientKey }),
    ...(serverName !== undefined && { servername: serverName }),
  }
}
