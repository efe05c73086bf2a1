import { createHash } from 'node:crypto'
import { isIP, isIPv4, isIPv6 } from 'node:net'

/** As much of a request as says where it comes from. */
export interface AddressedRequest {
  /** By Fastify: with TRUST_PROXY what `X-Forwarded-For` says, be it an address or not. Unset on a UNIX socket. */
  ip?: string | undefined
  socket?: { remoteAddress?: string | undefined }
}

/**
 * The address of the client in its canonical form: IPv6 without zone and shortened, IPv4 also where it came mapped into
 * IPv6. What a proxy passes on counts only if it is an address (some add a port); else it is the socket's.
 *
 * @returns undefined on a UNIX socket, and for a connection that was reset
 */
export function clientAddress({ ip, socket }: AddressedRequest): string | undefined {
  return canonicalAddress(ip) ?? canonicalAddress(socket?.remoteAddress)
}

/**
 * Stands for a client where something is counted: a hash of bounded length, so that no client chooses the names of
 * keys. All addresses of an IPv6 network of 64 bits are one client, since each of them has as many as it likes.
 */
export function clientKey(request: AddressedRequest): string {
  const address = clientAddress(request) ?? 'unknown'
  const network = isIPv6(address) ? groupsOf(address).slice(0, 4).join(':') : address
  return createHash('sha256').update(network).digest().subarray(0, 16).toString('base64url')
}

/** @returns undefined when it is no address */
export function canonicalAddress(text: string | undefined): string | undefined {
  // The longest has 45 characters, a zone and a port come on top.
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
  return /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text
}

/** @param address canonical, so `::ffff:192.0.2.1` reads `::ffff:c000:201` */
function mappedIPv4(address: string): string | undefined {
  const [, high = '', low = ''] = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(address) ?? []
  if (high === '') return undefined
  const bits = (Number.parseInt(high, 16) << 16) | Number.parseInt(low, 16)
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.')
}

/** All eight. @param address canonical */
function groupsOf(address: string): string[] {
  const [head = '', tail = ''] = address.split('::')
  const [first, last] = [head, tail].map((part) => (part === '' ? [] : part.split(':'))) as [
    string[],
    string[],
  ]
  const missing = address.includes('::') ? 8 - first.length - last.length : 0
  return [...first, ...Array<string>(missing).fill('0'), ...last]
}
