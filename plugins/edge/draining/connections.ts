import type { Server } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'

/** A server's open connections: what Node leaves open of them while it closes. */
export interface Connections {
  /** Tells those by HTTP/2 to send no more requests. They close when all that came has been answered. */
  sayGoodbye(): void
  /** Those that were opened in advance and have not said a word, now or yet to come. Node takes them for busy. */
  closeUnused(): void
  /** One whose response has been sent: to one begun before closing it could not be said that it is the last. */
  closeAnswered(socket: Socket): void
  /** Whatever is still under way. */
  cutOff(): void
}

export function watchConnections(server: Server): Connections {
  // With TLS, what is inside of it as well as what it goes through.
  const open = trackOpen<Socket>(server, 'connection', 'secureConnection')
  const sessions = trackOpen<ServerHttp2Session>(server, 'session')

  return {
    sayGoodbye() {
      for (const session of sessions) session.close()
    },
    closeUnused() {
      for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
      // The handshakes that were still under way: what comes of them is as unused, and nobody looks at it again.
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

/** What a server's events of these names hand over, until it closes. */
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
