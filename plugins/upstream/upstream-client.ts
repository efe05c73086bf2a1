import { buildConnector, Pool } from 'undici'
import type { UpstreamOptions } from '../../config/index.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { type AnswerReceiver, dropUpload, Exchange, type UpstreamRequest } from './exchange.ts'
import { adaptHttp2Streams } from './http2.ts'
import { createSlots, type Slots } from './slots.ts'
import { watchConnection } from './watched-connection.ts'

/** Sends requests to one upstream over connections that are kept open. */
export interface UpstreamClient {
  /**
   * Sends a request, and repeats it once only if the upstream states that it did not process it (which undici does, over
   * HTTP/2), or if a reused connection was closed before any byte of the answer to a GET or HEAD.
   */
  send(request: UpstreamRequest, receiver: AnswerReceiver): Sending
  close(): Promise<void>
}

export interface Sending {
  /** Cancels the request, or the rest of its answer. The receiver gets no further calls. */
  abort(): void
}

export function createUpstreamClient(upstream: UpstreamOptions): UpstreamClient {
  const pool = createPool(upstream)
  const { connections } = upstream
  const slots = connections === undefined ? undefined : createSlots(connections)

  function send(request: UpstreamRequest, receiver: AnswerReceiver, release?: () => void): Sending {
    const exchange = new Exchange(pool, request, receiver, release)
    exchange.send()
    return exchange
  }

  /** @throws GatewayError BFF_UPSTREAM_TIMEOUT when no connection becomes free in time */
  function sendInTurn(slots: Slots, request: UpstreamRequest, receiver: AnswerReceiver): Sending {
    const free = slots.acquireNow()
    if (free) return send(request, receiver, free)
    const waiting = new AbortController()
    const tooLong = AbortSignal.timeout(upstream.timeoutMs)
    let sending: Sending = { abort: () => waiting.abort() }
    slots.acquire(AbortSignal.any([waiting.signal, tooLong])).then(
      (release) => {
        // The browser may have disconnected after the slot was given to this request.
        if (waiting.signal.aborted) release()
        else sending = send(request, receiver, release)
      },
      (cause: unknown) => {
        dropUpload(request.body)
        if (!waiting.signal.aborted) receiver.failed(new GatewayError('BFF_UPSTREAM_TIMEOUT', { cause }))
      },
    )
    return { abort: () => sending.abort() }
  }

  return {
    send: slots ? (request, receiver) => sendInTurn(slots, request, receiver) : send,
    close: () => pool.destroy(),
  }
}

/** A pool of connections to an upstream. */
function createPool(upstream: UpstreamOptions): Pool {
  const { target, timeoutMs, connections, keepAliveTimeoutMs } = upstream
  return new Pool(target.origin, {
    connect: connector(upstream),
    headersTimeout: timeoutMs,
    // `headersTimeout` ends with the first byte; streams have no time limit.
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
