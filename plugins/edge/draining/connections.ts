import type { Server } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'

/** Closes connections that Node leaves open while a server closes. */
export interface Connections {
  /** Sends GOAWAY on HTTP/2 connections. They close when all their requests have been answered. */
  sendGoaway(): void
  /** Closes connections that were opened in advance and sent nothing, now and later. Node treats them as busy. */
  closeUnused(): void
  /** Closes a connection after a response that began before closing, and so had no `Connection: close`. */
  closeAnswered(socket: Socket): void
  /** Destroys all connections. */
  cutOff(): void
}

export function watchConnections(server: Server): Connections {
  // With TLS both the TLS socket and the TCP socket below it.
  const open = trackOpen<Socket>(server, 'connection', 'secureConnection')
  const sessions = trackOpen<ServerHttp2Session>(server, 'session')

  return {
    sendGoaway() {
      for (const session of sessions) session.close()
    },
    closeUnused() {
      for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
      // Connections whose TLS handshake was still in progress are unused as well.
      server.on('secureConnection', (socket: Socket) => socket.destroy())
    },
    closeAnswered(socket) {
      if (open.has(socket)) socket.destroySoon()
    },
    cutOff() {
      for (const socket of open) socket.destroy()
    },
  }
}

/** The open sockets or sessions that a server has emitted with these events. */
function trackOpen<T extends Socket | ServerHttp2Session>(server: Server, ...events: string[]): Set<T> {
  const open = new Set<T>()
  for (const event of events) {
    server.on(event, (opened: T) => {
      open.add(opened)
      opened.once('close', () => open.delete(opened))
    })
  }
  return open
}
