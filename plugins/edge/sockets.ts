import type { EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** Events for TCP and TLS sockets, HTTP/2 sessions and streams. */
const opening = ['connection', 'secureConnection', 'session', 'stream']

const watched = new WeakSet<Server>()

/**
 * Adds an error listener to every connection and stream as soon as it opens. Without one Node throws the error as
 * uncaught: it removes its own listener at an upgrade, and a client can reset the connection at any time.
 */
export function catchSocketErrors(server: Server): void {
  if (watched.has(server)) return
  watched.add(server)
  for (const event of opening) {
    server.on(event, (opened: EventEmitter) => {
      opened.on('error', ignore)
      // Node caches the address on first access. After a reset it is no longer available.
      if (event.endsWith('onnection')) void (opened as Socket).remoteAddress
    })
  }
}

/** For `error` events: `close` follows, and does the cleaning up. */
export function ignore(): void {}
