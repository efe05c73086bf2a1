import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'

/**
 * Hooks of @fastify/http-proxy, which passes messages on however slowly they are taken: without these, a browser on a
 * bad line would make the gateway keep in memory whatever the upstream has to say to it, and the other way round.
 */
export const pressureHooks = {
  onIncomingMessage: (_context: unknown, browser: WebSocket, upstream: WebSocket) => hold(browser, upstream),
  onOutgoingMessage: (_context: unknown, browser: WebSocket, upstream: WebSocket) => hold(upstream, browser),
}

/** Reads no more from one end until the other has taken what it got. Called for each message, before it is sent. */
function hold(from: WebSocket, to: WebSocket): void {
  if (from.isPaused) return
  const isConnecting = to.readyState === to.CONNECTING
  const socket = socketOf(to)
  if (!isConnecting && !socket?.writableNeedDrain) return

  const goOn = () => {
    to.off('open', goOn).off('close', goOn)
    socket?.off('drain', goOn)
    from.resume()
  }
  from.pause()
  // What has been read already waits as well, each message with a listener of its own.
  if (isConnecting) to.setMaxListeners(0)
  // Once it is closed, the other end has a closing handshake to read.
  to.once('open', goOn).once('close', goOn)
  socket?.once('drain', goOn)
}

/** ws tells nobody else when its socket has room again. */
function socketOf(socket: WebSocket): Socket | null {
  return (socket as unknown as { _socket: Socket | null })._socket
}
