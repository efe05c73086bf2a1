import type { IncomingMessage } from 'node:http'
import { GatewayRequest } from '../http2-messages.ts'

/** Calls `onIdle` once when nothing of a request's body came for `timeoutMs`, or for up to twice as long. */
export function watchBody(
  request: IncomingMessage | GatewayRequest,
  timeoutMs: number,
  onIdle: () => void,
): void {
  const received = receivedBytes(request)
  let seen = received()
  const timer = setInterval(() => {
    if (request.complete) return stop()
    // What has come is not taken yet: it is the upstream, not the client, that is slow.
    if (request.readableLength > 0) return
    if (received() > seen) {
      seen = received()
      return
    }
    stop()
    onIdle()
  }, timeoutMs).unref()
  const stop = () => clearInterval(timer)
  request.once('close', stop)
}

/** By HTTP/2 other requests come on the same connection, and say nothing of this one. */
function receivedBytes(request: IncomingMessage | GatewayRequest): () => number {
  if (request instanceof GatewayRequest) return () => request.received
  // Kept, since a request that is done has lost it.
  const { socket } = request
  return () => socket.bytesRead
}
