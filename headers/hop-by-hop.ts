import { listedNames } from './listed-names.ts'

/** What concerns one connection alone. @see https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const hopByHop = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** @param name lower case */
export function isHopByHop(name: string): boolean {
  return hopByHop.has(name)
}

/** A test for headers that `Connection` says to be of this connection alone. */
export function namedBy(connection: string | string[] | undefined): (name: string) => boolean {
  if (connection === undefined) return () => false
  const named = new Set(listedNames(connection))
  return (name) => named.has(name)
}
