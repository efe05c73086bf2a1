/**
 * An endpoint as metadata name it, if it is one to send a browser or a token to: by https, or by plain http where the
 * issuer itself is reached so, which is loopback.
 */
export function endpoint(named: unknown, issuer: URL): URL | undefined {
  const url = typeof named === 'string' ? URL.parse(named) : null
  return url && (url.protocol === 'https:' || url.protocol === issuer.protocol) ? url : undefined
}
