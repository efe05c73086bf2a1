import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { maxHeaderBytes } from '../../http/limits.ts'
import { errorBody, GatewayError } from './catalogue.ts'

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
 * False while the connection still owes the answer to an earlier request: whatever were written now, the client
 * would take for that one, or for a part of it.
 */
export function awaitsAnswer(socket: Socket & { _httpMessage?: ServerResponse | null }): boolean {
  const underWay = socket._httpMessage
  if (!socket.writable) return false
  // One that is still being read is the very request that is at fault.
  return !underWay || (!underWay.headersSent && !underWay.req.complete)
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
