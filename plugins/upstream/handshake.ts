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
import { agreementFault } from './websocket.ts'

/** What an upstream says to an opening handshake. */
export interface HandshakeAnswer {
  response: IncomingMessage
  /** After a 101 the connection, and what came on it behind the answer. */
  opened?: { socket: Socket; head: Buffer }
}

export interface Handshake {
  /** With the query, as it stands in the request line. */
  path: string
  /** With those of the browser's handshake. */
  headers: OutgoingHeaders
  /** Aborts when the browser has gone. */
  signal: AbortSignal
}

/**
 * Sends an opening handshake, on a connection of its own and by HTTP/1.1. Its answer is refused unless it is a
 * WebSocket's or of another status than 101.
 *
 * @throws GatewayError BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT
 */
export function shakeHands(
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
  const gone = () => fail(signal.reason)
  const stopWaiting = limitWaiting(request, isSecure, connectTimeoutMs, timeoutMs, fail)

  request
    .on('error', fail)
    .on('response', (response) => {
      response.on('error', ignore)
      const { statusCode = 0 } = response
      // A 101 that names no protocol, or no status that Node would send on.
      if (statusCode < 200 || statusCode > 599) fail(new RangeError(`The upstream answered ${statusCode}`))
      else resolve({ response })
    })
    .on('upgrade', (response: IncomingMessage, socket: Socket, head: Buffer) => {
      // Node's own listener has gone.
      socket.on('error', ignore)
      const fault = agreementFault(response, String(headers['sec-websocket-key']))
      if (fault === undefined) return resolve({ response, opened: { socket, head } })
      socket.destroy()
      fail(new Error(fault))
    })
  signal.addEventListener('abort', gone)
  if (signal.aborted) gone()
  else request.end()
  return promise.finally(() => {
    stopWaiting()
    signal.removeEventListener('abort', gone)
  })
}

/** Gives up when there is no connection in time, or then no answer: interim ones don't count. */
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
