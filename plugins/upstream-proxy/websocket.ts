import type { ClientRequest, IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import type { UpstreamOptions } from '../config/options.ts'
import type { OutgoingHeaders } from './request-headers.ts'
import { tlsOptions } from './tls.ts'
import { upstreamError } from './upstream-error.ts'

/** Where an upstream's WebSockets are: the same address by `ws:` or `wss:`. */
export function webSocketTarget(target: URL): string {
  const url = new URL(target)
  url.protocol = target.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href
}

/**
 * Options of the client that connects to the upstream. The certificate is verified whatever the environment says.
 * @param headersOf what the upstream gets to see of a request's headers
 * @param opening hears of each handshake as it begins, and what status it comes to
 */
export function webSocketClient<Request extends { raw: IncomingMessage }>(
  upstream: UpstreamOptions,
  headersOf: (request: Request) => OutgoingHeaders,
  opening: (request: Request, path: string, status: Promise<number>) => void,
) {
  let next: Request
  return {
    ...tlsOptions(upstream),
    handshakeTimeout: upstream.connectTimeoutMs,
    // The gateway reads no message, and would keep those that wait to be compressed in memory.
    perMessageDeflate: false,
    // Unknown to the types of @fastify/http-proxy.
    rewriteRequestHeaders(_headers: object, request: Request) {
      next = request
      return headersOf(request)
    },
    // Called right after, in the same turn, and not told by which request.
    finishRequest(handshake: ClientRequest, socket: WebSocket) {
      next.raw.socket.once('close', () => {
        // What is open is closed by @fastify/http-proxy, with the browser's code.
        if (socket.readyState === socket.CONNECTING) socket.terminate()
      })
      opening(next, handshake.path, statusOf(handshake, socket))
      handshake.end()
    },
  }
}

/** @throws GatewayError BFF_UPSTREAM_UNREACHABLE, BFF_UPSTREAM_TIMEOUT */
function statusOf(handshake: ClientRequest, socket: WebSocket): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const answered = ({ statusCode }: IncomingMessage) => resolve(statusCode ?? 0)
  handshake.once('upgrade', answered).once('response', answered)
  socket.once('error', (cause) => reject(upstreamError(cause)))
  return promise
}

/** Without those of the opening handshake: the gateway has one of its own with the upstream. */
export function withoutHandshake(headers: OutgoingHeaders): OutgoingHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('sec-websocket-')))
}

/** The one that there is. @see https://www.rfc-editor.org/rfc/rfc6455#section-4.1 */
export const webSocketVersion = '13'

/**
 * What is wrong with an opening handshake, if anything. `ws` would refuse it too, but with an answer of its own.
 * @see https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1
 */
export function handshakeFault({
  method,
  headers,
}: Pick<IncomingMessage, 'method' | 'headers'>): string | undefined {
  if (method !== 'GET') return 'A WebSocket is opened by GET'
  if (!/^[A-Za-z0-9+/]{22}==$/.test(headers['sec-websocket-key'] ?? ''))
    return 'Sec-WebSocket-Key is not valid'
  if (headers['sec-websocket-version'] !== webSocketVersion) return 'Sec-WebSocket-Version must be 13'
  const protocols = headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? []
  const isValid = protocols.every(isToken) && new Set(protocols).size === protocols.length
  return isValid ? undefined : 'Sec-WebSocket-Protocol is not valid'
}

/** @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2 */
function isToken(text: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(text)
}

/** An unexpected condition at the upstream. @see https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1 */
const internalError = 1011

/** The browser's end. Why the upstream failed names its address, so the browser isn't told. */
export class BrowserSocket extends WebSocket {
  override close(code?: number, reason?: string | Buffer): void {
    if (code === internalError) super.close(code, 'The remote API could not be reached')
    else super.close(code, reason)
  }
}
