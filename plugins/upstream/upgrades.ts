import { type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { ignore } from '../edge/sockets.ts'
import { hasBody, isCutShort, mayUpgrade, orDeclined } from '../edge/upgrade.ts'
import type { ServerSocket } from '../errors/malformed-request.ts'

/** As much of Fastify as answers a request. */
interface Router {
  server: Server
  /** Runs the hooks and the handler of the request's route. */
  routing(request: IncomingMessage, response: ServerResponse): void
}

/** What a client sent behind its opening handshake, of each request that asks for an upgrade. */
const heads = new WeakMap<IncomingMessage, Buffer>()

/** Prefixes of each server whose upgrades are ours. */
const prefixes = new WeakMap<Server, Set<string>>()

/** How long a client that has been refused may go on sending, in milliseconds. */
const lingeringMs = 1000

/** Of an upgrade that was routed here: what came behind it. */
export function headOf(request: IncomingMessage): Buffer {
  return heads.get(request) ?? Buffer.alloc(0)
}

/**
 * Sends requests for an upgrade through Fastify like any other, so that hooks judge them. Where the server has other
 * listeners, an application's own, those below `prefix` only.
 */
export function takeUpgrades({ server, routing }: Router, prefix: string): void {
  const known = prefixes.get(server)
  if (known) return void known.add(prefix)
  const ours = new Set([prefix])
  prefixes.set(server, ours)

  decline(server)
  server.prependListener('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // First of all: a client can have reset its connection.
    socket.on('error', ignore)
    if (server.listenerCount('upgrade') > 1 && !isBelow(request.url ?? '', ours)) return
    heads.set(request, head)
    if (isTaken(socket, request)) return
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket)
    response.once('finish', () => {
      response.detachSocket(socket)
      close(socket)
    })
    // Only on a server that asks nobody: its body was not read, and can't be.
    if (hasBody(request.headers)) response.writeHead(400).end()
    else routing(request, response)
  })
}

/** Node's server has it, its types don't. */
interface Upgrading {
  shouldUpgradeCallback?: (request: IncomingMessage) => boolean
}

/** Has what can't become a WebSocket answered as if it had not asked. The gateway's own server does so already. */
function decline(server: Server & Upgrading): void {
  const { shouldUpgradeCallback: decide = () => true } = server
  if (decide === mayUpgrade) return
  server.shouldUpgradeCallback = orDeclined(server, decide)
  server.prependListener('request', (request, response) => {
    if (isCutShort(request)) response.shouldKeepAlive = false
  })
}

/**
 * By another listener, or by an earlier request whose answer is still to come: only Fastify's second server for
 * `localhost`, which knows nothing of our rule, lets that happen. It is the last answer then.
 */
function isTaken(socket: Socket & ServerSocket, request: IncomingMessage): boolean {
  const response = socket._httpMessage as (ServerResponse & { _last: boolean }) | null | undefined
  if (!response) return false
  if (response.req !== request) {
    response._last = true
    // Node's own listener has gone.
    socket.on('drain', () => response.emit('drain')).resume()
  }
  return true
}

/** Closing with something unread would reset the connection, and could take the answer back. */
function close(socket: Socket): void {
  socket.resume().end()
  const tooLong = setTimeout(() => socket.destroy(), lingeringMs)
  socket.once('close', () => clearTimeout(tooLong))
}

function isBelow(url: string, ours: Set<string>): boolean {
  const path = decoded(url.split('?', 1)[0] ?? '')
  for (const prefix of ours) if (path === prefix || path.startsWith(`${prefix}/`)) return true
  return false
}

/** As Fastify routes it. */
function decoded(path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
