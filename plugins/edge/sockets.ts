import type { EventEmitter } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Events for TCP and TLS sockets, HTTP/2 sessions and streams. */
const opening = ['connection', 'secureConnection', 'session', 'stream']

const watched = new WeakSet<Server>()

/**
 * Handles what Node's server does not: errors of sockets, and destroyed responses. For each
 * server once.
 */
export function prepareSockets(server: Server): void {
  if (watched.has(server)) return
  watched.add(server)
  catchErrors(server)
  closeAtDestroyedResponses(server)
}

/**
 * Adds an error listener to every connection and stream as soon as it opens. Without one Node throws the error as
 * uncaught: it removes its own listener at an upgrade, and a client can reset the connection at any time.
 */
function catchErrors(server: Server): void {
  for (const event of opening) {
    server.on(event, (opened: EventEmitter) => {
      opened.on('error', ignore)
      // Node caches the address on first access. After a reset it is no longer available.
      if (event.endsWith('onnection')) void (opened as Socket).remoteAddress
    })
  }
}

/**
 * Closes a connection when it is the turn of a pipelined response that was destroyed while it waited for an earlier
 * one, for example because its upstream failed. Node would send its beginning and leave the client waiting for the rest.
 */
function closeAtDestroyedResponses(server: Server): void {
  server.prependListener('request', (_request, response: ServerResponse) => {
    if (response.socket !== null) return
    response.once('socket', (socket: Socket) => {
      if (response.destroyed) socket.destroy()
    })
  })
}

/** For `error` events: `close` follows, and does the cleaning up. */
export function ignore(): void {}
