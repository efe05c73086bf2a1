import { createHash } from 'node:crypto'
import {
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestHttp,
} from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { urlToHttpOptions } from 'node:url'
import type { UpstreamOptions } from '../../config/index.ts'
import { listedNames } from '../../http/fields.ts'
import { ignore } from '../edge/sockets.ts'
import { GatewayError } from '../errors/catalogue.ts'
import { upstreamError } from './report.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { tlsOptions } from './upstream-client.ts'

/** The only version. @see https://www.rfc-editor.org/rfc/rfc6455#section-4.1 */
export const webSocketVersion = '13'

/**
 * What is wrong with an opening handshake, if anything.
 * @see https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
 */
export function handshakeFault({
  method,
  headers,
}: Pick<IncomingMessage, 'method' | 'headers'>): string | undefined {
  if (method !== 'GET') return 'A WebSocket is opened by GET'
  if (!/^[A-Za-z0-9+/]{22}==$/.test(headers['sec-websocket-key'] ?? ''))
    return 'Sec-WebSocket-Key is not valid'
  if (headers['sec-websocket-version'] !== webSocketVersion) return 'Sec-WebSocket-Version must be 13'
  const protocols = headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? []
  const isValid = protocols.every(isToken) && new Set(protocols).size === protocols.length
  return isValid ? undefined : 'Sec-WebSocket-Protocol is not valid'
}

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

/** Adds the browser's handshake to the headers for the upstream. */
export function withHandshake(headers: OutgoingHeaders, incoming: IncomingHttpHeaders): OutgoingHeaders {
  const handshake = { ...headers, connection: 'Upgrade', upgrade: 'websocket' }
  return { ...handshake, ...pick(incoming, ['key', 'version', 'protocol', 'extensions']) }
}

/** Adds the upstream's handshake answer to the headers for the browser. */
export function withAgreement(headers: OutgoingHeaders, incoming: IncomingHttpHeaders): OutgoingHeaders {
  const agreement = { ...headers, connection: 'Upgrade', upgrade: 'websocket' }
  return { ...agreement, ...pick(incoming, ['accept', 'protocol', 'extensions']) }
}

function pick(headers: IncomingHttpHeaders, names: string[]): OutgoingHeaders {
  const all = names.map((name) => [`sec-websocket-${name}`, headers[`sec-websocket-${name}`]])
  return Object.fromEntries(all.filter(([, value]) => value !== undefined))
}

/**
 * What is wrong with an upstream's 101, if anything. The browser would refuse it too, but without a reason.
 *
 * @param key the browser's
 * @see https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2
 */
function agreementFault({ headers }: Pick<IncomingMessage, 'headers'>, key: string) {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return 'The upstream switched to another protocol'
  if (!listedNames(headers.connection ?? '').includes('upgrade')) return 'Connection does not name Upgrade'
  const expected = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  return headers['sec-websocket-accept'] === expected ? undefined : 'Sec-WebSocket-Accept is not valid'
}

/** @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2 */
function isToken(text: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(text)
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
