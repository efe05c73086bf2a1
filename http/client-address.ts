import { createHash } from 'node:crypto'
import { isIP, isIPv4, isIPv6 } from 'node:net'

/** The part of a request that identifies where it comes from. */
export interface AddressedRequest {
  /** Set by Fastify: with TRUST_PROXY the value of `X-Forwarded-For`, valid or not. Unset on a UNIX socket. */
  ip?: string | undefined
  socket?: { remoteAddress?: string | undefined }
}

/**
 * The client's address in canonical form: IPv6 shortened and without zone, IPv4-mapped IPv6 as IPv4. A forwarded value
 * is used only if it is an address (some proxies add a port); otherwise the socket's address.
 *
 * @returns undefined on a UNIX socket, and for a connection that was reset
 */
export function clientAddress({ ip, socket }: AddressedRequest): string | undefined {
  return canonicalAddress(ip) ?? canonicalAddress(socket?.remoteAddress)
}

/**
 * Key under which a client is counted: a hash of fixed length, so that clients can't choose keys. All addresses of an
 * IPv6 /64 network count as one client, since every subscriber has a whole such network.
 */
export function clientKey(request: AddressedRequest): string {
  const address = clientAddress(request) ?? 'unknown'
  const network = isIPv6(address) ? groupsOf(address).slice(0, 4).join(':') : address
  return createHash('sha256').update(network).digest().subarray(0, 16).toString('base64url')
}

/** @returns undefined if the text is not an address */
export function canonicalAddress(text: string | undefined): string | undefined {
  // An address has 45 characters at most, plus zone and port.
  if (text === undefined || text.length > 100) return undefined
  const address = withoutPort(text.trim()).replace(/%.*$/, '')
  if (isIPv4(address)) return address
  if (!isIPv6(address)) return undefined
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  return mappedIPv4(canonical) ?? canonical
}

/** `192.0.2.1:4711` and `[2001:db8::1]:4711`, as some load balancers write into `X-Forwarded-For`. */
function withoutPort(text: string): string {
  if (isIP(text) !== 0) return text
  return /^\[([^\]]*:[^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text
}

/** @param address canonical, so `::ffff:192.0.2.1` reads `::ffff:c000:201` */
function mappedIPv4(address: string): string | undefined {
  const [, high = '', low = ''] = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(address) ?? []
  if (high === '') return undefined
  const bits = (Number.parseInt(high, 16) << 16) | Number.parseInt(low, 16)
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.')
}

/** All eight groups of an IPv6 address. @param address canonical */
function groupsOf(address: string): string[] {
  const [head = '', tail = ''] = address.split('::')
  const [first, last] = [head, tail].map((part) => (part === '' ? [] : part.split(':'))) as [
    string[],
    string[],
  ]
  const missing = address.includes('::') ? 8 - first.length - last.length : 0
  return [...first, ...Array<string>(missing).fill('0'), ...last]
}
