import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http'
import { isWebSocketUpgrade } from '../../http/origin.ts'
import type { ServerSocket } from '../errors/malformed-request.ts'

/** Requests behind which Node's parser has thrown away what came in the same packet. */
const cutShort = new WeakSet<IncomingMessage>()

/**
 * Whether a connection may become a WebSocket: Node's `shouldUpgradeCallback`. A request for which this is false is
 * answered as if it had not asked: one for another protocol such as h2c, one by HTTP/1.0 (RFC 9110, 7.8), one with a
 * body, and one that was pipelined behind a request whose answer is still to come, since that answer needs the
 * connection first.
 */
export function mayUpgrade(this: Server, request: IncomingMessage): boolean {
  return (
    this.listenerCount('upgrade') > 0 && settle(request, canUpgrade(request) && isWebSocketUpgrade(request))
  )
}

/**
 * The same for a server that is an application's own, whose listeners may want other protocols.
 * @param decide the server's `shouldUpgradeCallback` so far
 */
export function orDeclined(server: Server, decide: (request: IncomingMessage) => boolean) {
  return (request: IncomingMessage): boolean => {
    const isWanted = server.listenerCount('upgrade') > 1 || isWebSocketUpgrade(request)
    return settle(request, canUpgrade(request) && isWanted && decide.call(server, request))
  }
}

/** True for the last request of a connection: requests that came behind it are lost, and have to be sent again. */
export function isCutShort(request: IncomingMessage): boolean {
  return cutShort.has(request)
}

/** True for a request that says how much body it has, unless that is none. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  return (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined
}

function canUpgrade({ httpVersion, headers, socket }: IncomingMessage): boolean {
  const owesAnswer = Boolean((socket as ServerSocket)._httpMessage)
  return httpVersion === '1.1' && !hasBody(headers) && !owesAnswer
}

function settle(request: IncomingMessage, isUpgrade: boolean): boolean {
  if (!isUpgrade && !endsPacket(request.socket as ParsedSocket)) cutShort.add(request)
  return isUpgrade
}

type ParsedSocket = Partial<Record<'parser', { getCurrentBuffer(): Buffer } | null>>

/** Whether the headers that were just read are the only ones in their packet, and at its end. */
function endsPacket({ parser }: ParsedSocket): boolean {
  const packet = parser?.getCurrentBuffer()
  return packet !== undefined && packet.indexOf('\r\n\r\n') === packet.length - 4
}
