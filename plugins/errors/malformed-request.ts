import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { maxHeaderBytes } from '../../http/limits.ts'
import { errorBody, GatewayError } from './catalogue.ts'

/** A connection of Node's HTTP server, with the response that is being written to it and the last request read. */
export type ServerSocket = Duplex & {
  _httpMessage?: ServerResponse | null
  parser?: { incoming?: IncomingMessage | null } | null
}

/** How long a refused client may go on sending, in milliseconds. */
const lingeringMs = 1000

/** The error for a request that Node's parser rejected. */
export function malformedRequest(fault: Error & { code?: string; rawPacket?: unknown }): GatewayError {
  switch (fault.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new GatewayError(isOneLine(fault.rawPacket) ? 'BFF_URL_TOO_LONG' : 'BFF_HEADERS_TOO_LARGE', {
        cause: fault,
      })
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new GatewayError('BFF_REQUEST_TIMEOUT', { cause: fault })
    default:
      return new GatewayError('BFF_MALFORMED_REQUEST', { cause: fault })
  }
}

/** Whether the last packet, all that is known of a rejected request, is part of a request line. */
function isOneLine(packet: unknown): boolean {
  return Buffer.isBuffer(packet) && /^[A-Z]+ [^\n]*$/.test(packet.toString('latin1', 0, maxHeaderBytes))
}

/**
 * The response that is still being sent: to an earlier request, or a complete one to the faulty request. The client
 * would take anything written now for that response, or for a part of it.
 */
function owedAnswer({ _httpMessage: underWay }: ServerSocket): ServerResponse | undefined {
  return underWay && (underWay.req.complete || underWay.writableEnded) ? underWay : undefined
}

/** False if the connection is closed, or if the response to the faulty request has already begun. */
export function canAnswer(socket: ServerSocket): boolean {
  return socket.writable && !socket._httpMessage?.headersSent
}

/** Whether the last request has been answered although its body is incomplete. */
export function isAnswered({ _httpMessage: underWay, parser }: ServerSocket): boolean {
  return !underWay && parser?.incoming?.complete === false
}

/** Whether no other request is pipelined behind this one. */
export function isLast(request: IncomingMessage): boolean {
  const { incoming } = (request.socket as ServerSocket).parser ?? {}
  return !incoming || incoming === request
}

const waiting = new WeakSet<ServerSocket>()

/** Calls `then` once all earlier requests of a connection are answered. Further calls meanwhile are ignored. */
export function afterOwedAnswers(socket: Socket & ServerSocket, then: () => void): void {
  if (waiting.has(socket)) return
  const goOn = () => {
    const owed = owedAnswer(socket)
    if (!owed || !socket.writable) return then()
    owed.once('finish', goOn)
  }
  if (owedAnswer(socket)) {
    // Like Node, treats FIN from the client as a disconnect.
    if (socket.readableEnded) return void socket.destroy()
    socket.once('end', () => socket.destroy())
    waiting.add(socket)
  }
  goOn()
}

/** A complete HTTP response, the last one on its connection. */
export function rawAnswer(error: GatewayError, requestId: string): string {
  const body = JSON.stringify(errorBody(error, requestId, ''))
  const head = [
    `HTTP/1.1 ${error.statusCode} ${STATUS_CODES[error.statusCode]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

/** Of Node's responses, over HTTP/1.1 and HTTP/2. */
interface RawResponse {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(body: string): unknown
}

/** Answers with an error without Fastify, for requests that its router can't handle. */
export function answerDirectly(response: RawResponse, error: GatewayError, requestId: string): void {
  response.statusCode = error.statusCode
  response.setHeader('content-type', 'application/json; charset=utf-8')
  response.setHeader('cache-control', 'no-store')
  response.end(JSON.stringify(errorBody(error, requestId, '')))
}

/** Sends a last answer and closes. Closing at once with unread data would reset the connection and lose the answer. */
export function endWith(socket: Socket, answer = ''): void {
  socket.end(answer)
  const tooLong = setTimeout(() => socket.destroy(), lingeringMs)
  socket.once('close', () => clearTimeout(tooLong))
}
