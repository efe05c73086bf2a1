import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http'
import { isWebSocketUpgrade } from '../../http/fields.ts'
import type { ServerSocket } from '../errors/malformed-request.ts'

/** Requests whose following pipelined bytes Node discarded, so the connection must close after the answer. */
const cutShort = new WeakSet<IncomingMessage>()

/**
 * Whether a connection may become a WebSocket: Node's `shouldUpgradeCallback`. Where it is false, the request is handled
 * as an ordinary one: an upgrade to another protocol such as h2c, over HTTP/1.0 (RFC 9110, section 7.8), with a body, or
 * pipelined behind a request that is still to be answered, since that answer needs the connection first.
 */
export function mayUpgrade(this: Server, request: IncomingMessage): boolean {
  return (
    this.listenerCount('upgrade') > 0 &&
    recordDecision(request, canUpgrade(request) && isWebSocketUpgrade(request))
  )
}

/**
 * The same for an application's server, whose other listeners may handle other protocols.
 * @param decide the server's previous `shouldUpgradeCallback`
 */
export function filteredUpgrades(server: Server, decide: (request: IncomingMessage) => boolean) {
  return (request: IncomingMessage): boolean => {
    const isHandled = server.listenerCount('upgrade') > 1 || isWebSocketUpgrade(request)
    return recordDecision(request, canUpgrade(request) && isHandled && decide.call(server, request))
  }
}

/** True if this must be the connection's last request: pipelined ones behind it were dropped and have to be resent. */
export function isCutShort(request: IncomingMessage): boolean {
  return cutShort.has(request)
}

/** True for a request that announces a body that is not empty. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  return (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined
}

function canUpgrade({ httpVersion, headers, socket }: IncomingMessage): boolean {
  const owesAnswer = Boolean((socket as ServerSocket)._httpMessage)
  return httpVersion === '1.1' && !hasBody(headers) && !owesAnswer
}

function recordDecision(request: IncomingMessage, isUpgrade: boolean): boolean {
  if (!isUpgrade && !endsPacket(request.socket as ParsedSocket)) cutShort.add(request)
  return isUpgrade
}

type ParsedSocket = Partial<Record<'parser', { getCurrentBuffer(): Buffer } | null>>

/** Whether the headers that were just parsed are the only content of their packet. */
function endsPacket({ parser }: ParsedSocket): boolean {
  const packet = parser?.getCurrentBuffer()
  return packet !== undefined && packet.indexOf('\r\n\r\n') === packet.length - 4
}
