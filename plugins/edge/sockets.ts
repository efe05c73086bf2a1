import type { EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** With TLS, what is inside of a connection as well as what it goes through; with HTTP/2, what is inside of that. */
const opening = ['connection', 'secureConnection', 'session', 'stream']

const watched = new WeakSet<Server>()

/**
 * From its first moment everything that a client opens has a listener for errors, which Node takes for uncaught
 * otherwise: its own listener leaves a connection at an upgrade, and a client can reset the connection at any time.
 */
export function catchSocketErrors(server: Server): void {
  if (watched.has(server)) return
  watched.add(server)
  for (const event of opening) {
    server.on(event, (opened: EventEmitter) => {
      opened.on('error', ignore)
      // Node remembers the address once it was asked for. Of a connection that was reset it can't be told any more.
      if (event.endsWith('onnection')) void (opened as Socket).remoteAddress
    })
  }
}

/** Whatever else is to be done about it, `close` follows. */
export function ignore(): void {}
