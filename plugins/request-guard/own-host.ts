/**
 * Whether a request names the host of the public URL, in any case, a default port named or not. A page elsewhere can
 * make its own name point here (DNS rebinding), and to a browser it is then of one origin with us; but the browser
 * sends that name.
 *
 * @param host of the request, empty where it names none, as no browser does
 */
export function namesPublicHost(host: string, publicUrl: URL): boolean {
  if (host === '') return true
  // A URL would take more than host and port from it.
  if (/[^\w.:[\]-]/.test(host)) return false
  return URL.parse(`${publicUrl.protocol}//${host}`)?.host === publicUrl.host
}
