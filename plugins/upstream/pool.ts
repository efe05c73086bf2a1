import { buildConnector, Pool } from 'undici'
import type { UpstreamOptions } from '../../config/index.ts'
import { adaptHttp2Streams } from './http2.ts'
import { watchConnection } from './watched-connection.ts'

/** A pool of connections to an upstream. */
export function createPool(upstream: UpstreamOptions): Pool {
  const { target, timeoutMs, connections, keepAliveTimeoutMs } = upstream
  return new Pool(target.origin, {
    connect: connector(upstream),
    headersTimeout: timeoutMs,
    // `headersTimeout` ends with the first byte; a stream may last as long as it likes.
    bodyTimeout: 0,
    ...(connections !== undefined && { connections }),
    // A `Keep-Alive` header of the upstream may shorten this, not extend it.
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
    // undici would use the host of the request for SNI and the certificate check.
    connect({ ...options, ...(servername !== undefined && { servername }) }, (...[error, socket]) => {
      if (error) return callback(error, null)
      watchConnection(socket, timeoutMs)
      if (allowH2) adaptHttp2Streams(socket)
      callback(null, socket)
    })
}

export type TlsSettings = Pick<UpstreamOptions, 'ca' | 'clientCert' | 'clientKey' | 'serverName'>

/** TLS settings for requests and WebSockets to an upstream: its CA, our client certificate, its name. @see node:tls */
export function tlsOptions({ ca, clientCert, clientKey, serverName }: TlsSettings) {
  return {
    // Set, so that NODE_TLS_REJECT_UNAUTHORIZED can't turn verification off.
    rejectUnauthorized: true,
    ...(ca !== undefined && { ca }),
    ...(clientCert !== undefined && { cert: clientCert }),
    ...(clientKey !== undefined && { key: clientKey }),
    ...(serverName !== undefined && { servername: serverName }),
  }
}
