import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { urlToHttpOptions } from 'node:url'
import type { UpstreamOptions } from '../../config/index.ts'
import { ignore } from '../edge/sockets.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { tlsOptions } from './pool.ts'
import { upstreamError } from './report.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { agreementFault } from './websocket-handshake.ts'

/** An upstream's answer to an opening handshake. */
export interface HandshakeAnswer {
  response: IncomingMessage
  /** After a 101: the connection, and the bytes that followed the answer. */
  opened?: { socket: Socket; head: Buffer }
}

export interface Handshake {
  /** Path and query, as in a request line. */
  path: string
  /** Including those of the browser's handshake. */
  headers: OutgoingHeaders
  /** Aborts when the browser disconnects. */
  signal: AbortSignal
}

/**
 * Sends an opening handshake over HTTP/1.1 on a separate connection. A 101 that does not complete a WebSocket handshake
 * is an error; any other status is an answer like any other.
 *
 * @throws GatewayError BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT
 */
export function sendHandshake(
  upstream: UpstreamOptions,
  { path, headers, signal }: Handshake,
): Promise<HandshakeAnswer> {
  const { target, connectTimeoutMs, timeoutMs } = upstream
  const isSecure = target.protocol === 'https:'
  const { promise, resolve, reject } = Promise.withResolvers<HandshakeAnswer>()
  const request = (isSecure ? requestHttps : requestHttp)({
    ...urlToHttpOptions(new URL(target.origin)),
    ...tlsOptions(upstream),
    path,
    headers,
    agent: false,
    setHost: false,
  })
  const fail = (error: unknown) => {
    reject(error instanceof GatewayError ? error : upstreamError(error))
    request.destroy()
  }
  const abort = () => fail(signal.reason)
  const stopWaiting = limitWaiting(request, isSecure, connectTimeoutMs, timeoutMs, fail)

  request
    .on('error', fail)
    .on('response', (response) => {
      response.on('error', ignore)
      const { statusCode = 0 } = response
      // A 101 without `Upgrade`, or a status that Node cannot send.
      if (statusCode < 200 || statusCode > 599) fail(new RangeError(`The upstream answered ${statusCode}`))
      else resolve({ response })
    })
    .on('upgrade', (response: IncomingMessage, socket: Socket, head: Buffer) => {
      // Node has removed its own error listener.
      socket.on('error', ignore)
      const fault = agreementFault(response, String(headers['sec-websocket-key']))
      if (fault === undefined) return resolve({ response, opened: { socket, head } })
      socket.destroy()
      fail(new Error(fault))
    })
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  else request.end()
  return promise.finally(() => {
    stopWaiting()
    signal.removeEventListener('abort', abort)
  })
}

/** Time limits for connecting, and then for the final answer: interim ones do not extend it. */
function limitWaiting(
  request: ClientRequest,
  isSecure: boolean,
  connectTimeoutMs: number,
  timeoutMs: number,
  fail: (error: GatewayError) => void,
): () => void {
  const tooLate = () => fail(new GatewayError('BFF_UPSTREAM_TIMEOUT'))
  let timer = setTimeout(tooLate, connectTimeoutMs)
  request.once('socket', (socket) => {
    socket.once(isSecure ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer)
      timer = setTimeout(tooLate, timeoutMs)
      if (request.destroyed) clearTimeout(timer)
    })
  })
  return () => clearTimeout(timer)
}
