/**
 * Where a redirect of the upstream leads as the browser must see it: below our prefix when it stays below the
 * target, as it is when it leads elsewhere.
 */
export function browserLocation(location: string, target: URL, prefix: string): string {
  // Relative to the request's own path, which the browser resolves below our prefix.
  if (!/^(https?:|\/)/i.test(location)) return location
  const resolved = URL.parse(fromBytes(location), target.href)
  if (resolved?.origin !== target.origin) return location
  const base = target.pathname.replace(/\/$/, '')
  const { pathname, search, hash } = resolved
  if (pathname !== base && !pathname.startsWith(`${base}/`)) return location
  return prefix + pathname.slice(base.length) + search + hash
}

/** Headers hold one character for each byte; browsers read these bytes as UTF-8. */
function fromBytes(value: string): string {
  return Buffer.from(value, 'latin1').toString('utf8')
}
