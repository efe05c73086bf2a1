import { isIP } from 'node:net'

/**
 * Whether a request was meant for this gateway. A page elsewhere can make its own name point here (DNS rebinding) and
 * would then read what the development server gives out, source code above all; but the browser sends that name.
 *
 * @param host of the request, with a port or without
 */
export function isOwnHost(host: string, publicUrl: URL): boolean {
  const url = URL.parse(`http://${host}`)
  if (!url) return false
  const { hostname } = url
  return (
    hostname === publicUrl.hostname ||
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
  )
}
