import { type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { ignore } from '../edge/sockets.ts'
import { filteredUpgrades, hasBody, isCutShort, mayUpgrade } from '../edge/upgrade.ts'
import type { ServerSocket } from '../errors/malformed-request.ts'

/** The part of Fastify that answers a request. */
interface Router {
  server: Server
  /** Runs the hooks and the handler of the request's route. */
  routing(request: IncomingMessage, response: ServerResponse): void
}

/** Bytes that followed each upgrade request in the same packet. */
const heads = new WeakMap<IncomingMessage, Buffer>()

/** Prefixes of each server below which upgrades are proxied. */
const prefixes = new WeakMap<Server, Set<string>>()

/** How long a refused client may go on sending, in milliseconds. */
const lingeringMs = 1000

/** The bytes that followed an upgrade request. */
export function upgradeHead(request: IncomingMessage): Buffer {
  return heads.get(request) ?? Buffer.alloc(0)
}

/**
 * Routes upgrade requests through Fastify like any other, so that hooks apply to them. If the server has other upgrade
 * listeners (an application's own), only requests below `prefix` are routed.
 */
export function routeUpgrades({ server, routing }: Router, prefix: string): void {
  const known = prefixes.get(server)
  if (known) return void known.add(prefix)
  const ours = new Set([prefix])
  prefixes.set(server, ours)

  declineOtherUpgrades(server)
  server.prependListener('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // First, since the client may already have reset the connection.
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
    // Happens only on a server without our `shouldUpgradeCallback`: the body was not parsed, and can't be.
    if (hasBody(request.headers)) response.writeHead(400).end()
    else routing(request, response)
  })
}

/** Node's server has this property, but its types lack it. */
interface Upgrading {
  shouldUpgradeCallback?: (request: IncomingMessage) => boolean
}

/** Answers what can't become a WebSocket as an ordinary request. The gateway's own server does so already. */
function declineOtherUpgrades(server: Server & Upgrading): void {
  const { shouldUpgradeCallback: decide = () => true } = server
  if (decide === mayUpgrade) return
  server.shouldUpgradeCallback = filteredUpgrades(server, decide)
  server.prependListener('request', (request, response) => {
    if (isCutShort(request)) response.shouldKeepAlive = false
  })
}

/**
 * Whether the connection is in use by another listener, or by an earlier request that is still to be answered. The
 * latter happens only on Fastify's second server for `localhost`, which lacks our `shouldUpgradeCallback`. That answer
 * is then the last on its connection.
 */
function isTaken(socket: Socket & ServerSocket, request: IncomingMessage): boolean {
  const response = socket._httpMessage as (ServerResponse & { _last: boolean }) | null | undefined
  if (!response) return false
  if (response.req !== request) {
    response._last = true
    // Node has removed its own listener.
    socket.on('drain', () => response.emit('drain')).resume()
  }
  return true
}

/** Reads on while closing: closing with unread data would reset the connection, and the client could lose the answer. */
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

/** Decoded as Fastify's router does. */
function decoded(path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
