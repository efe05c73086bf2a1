import { isIP } from 'node:net'

/**
 * Whether a request is addressed to this gateway. An attacker's page can point its own domain name here (DNS rebinding)
 * and then read what the development server returns, such as source code; but the browser sends that name as the host.
 *
 * @param host of the request, with or without a port
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
