import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** A server's open connections: what Node leaves open of them while it closes. */
export interface Connections {
  /** Those that were opened in advance and have not said a word. Node takes them for busy. */
  closeUnused(): void
  /** One whose response has been sent: to one begun before closing it could not be said that it is the last. */
  closeAnswered(socket: Socket): void
}

export function watchConnections(server: Server): Connections {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })

  return {
    closeUnused() {
      for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
    },
    closeAnswered(socket) {
      if (open.has(socket)) socket.destroySoon()
    },
  }
}
