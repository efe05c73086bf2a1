import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { maxHeaderBytes } from '../../http/limits.ts'
import { errorBody, GatewayError } from './catalogue.ts'

/** A connection as Node's HTTP server keeps it: with the response that is being written to it. */
export type ServerSocket = Duplex & { _httpMessage?: ServerResponse | null }

/** How long a client that has been refused may go on sending, in milliseconds. */
const lingeringMs = 1000

/** What a client is told whose request Node's parser refused. */
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

/** What of a request alone is at hand when it is refused: the bytes that came last. */
function isOneLine(packet: unknown): boolean {
  return Buffer.isBuffer(packet) && /^[A-Z]+ [^\n]*$/.test(packet.toString('latin1', 0, maxHeaderBytes))
}

/**
 * What the connection still owes to an earlier request: whatever were written now, the client would take for that
 * answer, or for a part of it.
 */
function owedAnswer({ _httpMessage: underWay }: ServerSocket): ServerResponse | undefined {
  return underWay?.req.complete ? underWay : undefined
}

/** False for what has gone, and for the very request that is at fault if its answer has begun already. */
export function canAnswer(socket: ServerSocket): boolean {
  return socket.writable && !socket._httpMessage?.headersSent
}

const waiting = new WeakSet<ServerSocket>()

/** Calls `then` once all earlier requests of a connection are answered, the first time that it is asked for. */
export function afterOwedAnswers(socket: Socket & ServerSocket, then: () => void): void {
  if (waiting.has(socket)) return
  const goOn = () => {
    const owed = owedAnswer(socket)
    if (!owed || !socket.writable) return then()
    owed.once('finish', goOn)
  }
  if (owedAnswer(socket)) {
    // As Node does: who sends no more has gone.
    if (socket.readableEnded) return void socket.destroy()
    socket.once('end', () => socket.destroy())
    waiting.add(socket)
  }
  goOn()
}

/** A whole HTTP response, the last one on its connection. */
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

/** Says a last word. Closing at once, with something unread, would reset the connection and take it back. */
export function endWith(socket: Socket, answer: string): void {
  socket.end(answer)
  const tooLong = setTimeout(() => socket.destroy(), lingeringMs)
  socket.once('close', () => clearTimeout(tooLong))
}
