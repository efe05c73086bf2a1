/** So that the cookie of a login stays below the 4096 bytes that browsers take. */
const maxLength = 2000

/**
 * Where to go after a login or logout: a path on the gateway's own origin, as a browser would resolve it.
 * Everything else is an open redirect.
 *
 * @returns the path, normalised and percent-encoded, or nothing when it is none
 */
export function localPath(returnUrl: unknown, origin: string): string | undefined {
  if (typeof returnUrl !== 'string' || !/^\/(?!\/)/.test(returnUrl)) return undefined
  // Browsers read them as slashes.
  if (returnUrl.includes('\\')) return undefined
  const resolved = resolveHere(returnUrl, origin)
  // Whoever takes it up next may undo its escapes first.
  if (!resolved || !resolveHere(unescaped(resolved.pathname), origin)) return undefined
  const path = resolved.pathname + resolved.search + resolved.hash
  return path.length <= maxLength ? path : undefined
}

function resolveHere(path: string, origin: string): URL | undefined {
  // Browsers drop tabs and line breaks.
  if (/\p{Cc}/u.test(path)) return undefined
  const resolved = URL.parse(path, origin)
  if (resolved?.origin !== origin) return undefined
  // Two slashes at the start, which dots may have hidden, name a host.
  return /^\/(\/|%2f|%5c)/i.test(resolved.pathname) ? undefined : resolved
}

function unescaped(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
