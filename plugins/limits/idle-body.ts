import type { IncomingMessage } from 'node:http'

/** Calls `onIdle` once when nothing of a request's body came for `timeoutMs`, or for up to twice as long. */
export function watchBody(request: IncomingMessage, timeoutMs: number, onIdle: () => void): void {
  const { socket } = request
  let seen = socket.bytesRead
  const timer = setInterval(() => {
    if (request.complete) return stop()
    // What has come is not taken yet: it is the upstream, not the client, that is slow.
    if (request.readableLength > 0) return
    if (socket.bytesRead > seen) {
      seen = socket.bytesRead
      return
    }
    stop()
    onIdle()
  }, timeoutMs).unref()
  const stop = () => clearInterval(timer)
  request.once('close', stop)
}
