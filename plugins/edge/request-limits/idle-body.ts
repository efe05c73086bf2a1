import type { IncomingMessage } from 'node:http'
import { arrivedDataRead } from '../../../lib/event-loop.ts'
import { GatewayRequest } from '../http2-messages.ts'

/** Calls `onIdle` once when no data of a request's body has arrived for `timeoutMs` to twice as long. */
export function watchBody(
  request: IncomingMessage | GatewayRequest,
  timeoutMs: number,
  onIdle: () => void,
): void {
  const received = receivedBytes(request)
  let seen = received()
  const timer = setInterval(async () => {
    if (!isIdle()) return
    await arrivedDataRead()
    if (request.destroyed || !isIdle()) return
    stop()
    onIdle()
  }, timeoutMs).unref()
  const stop = () => clearInterval(timer)
  const isIdle = (): boolean => {
    if (request.complete) {
      stop()
      return false
    }
    // Received data is still unread: the upstream is slow, not the client.
    if (request.readableLength > 0) return false
    if (received() === seen) return true
    seen = received()
    return false
  }
  request.once('close', stop)
}

/** Counted per stream over HTTP/2, where other requests share the connection. */
function receivedBytes(request: IncomingMessage | GatewayRequest): () => number {
  if (request instanceof GatewayRequest) return () => request.received
  // Kept, since a finished request has no socket.
  const { socket } = request
  return () => socket.bytesRead
}
