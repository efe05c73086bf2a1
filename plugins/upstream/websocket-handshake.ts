import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { listedNames } from '../../http/fields.ts'
import type { OutgoingHeaders } from './request-headers.ts'

/** The only version. @see https://www.rfc-editor.org/rfc/rfc6455#section-4.1 */
export const webSocketVersion = '13'

/**
 * What is wrong with an opening handshake, if anything.
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

/** Adds the browser's handshake to the headers for the upstream. */
export function withHandshake(headers: OutgoingHeaders, incoming: IncomingHttpHeaders): OutgoingHeaders {
  const handshake = { ...headers, connection: 'Upgrade', upgrade: 'websocket' }
  return { ...handshake, ...pick(incoming, ['key', 'version', 'protocol', 'extensions']) }
}

/** Adds the upstream's handshake answer to the headers for the browser. */
export function withAgreement(headers: OutgoingHeaders, incoming: IncomingHttpHeaders): OutgoingHeaders {
  const agreement = { ...headers, connection: 'Upgrade', upgrade: 'websocket' }
  return { ...agreement, ...pick(incoming, ['accept', 'protocol', 'extensions']) }
}

function pick(headers: IncomingHttpHeaders, names: string[]): OutgoingHeaders {
  const all = names.map((name) => [`sec-websocket-${name}`, headers[`sec-websocket-${name}`]])
  return Object.fromEntries(all.filter(([, value]) => value !== undefined))
}

/**
 * What is wrong with an upstream's 101, if anything. The browser would refuse it too, but without a reason.
 *
 * @param key the browser's
 * @see https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2
 */
export function agreementFault({ headers }: Pick<IncomingMessage, 'headers'>, key: string) {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return 'The upstream switched to another protocol'
  if (!listedNames(headers.connection ?? '').includes('upgrade')) return 'Connection does not name Upgrade'
  const expected = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  return headers['sec-websocket-accept'] === expected ? undefined : 'Sec-WebSocket-Accept is not valid'
}
