const maxLength = 2000

/**
 * Where to go after a login or logout: a path on the gateway's own origin, as a browser would resolve it.
 * Everything else is an open redirect.
 *
 * @returns the path, normalised and percent-encoded, or nothing when it is none
 */
export function localPath(returnUrl: unknown, origin: string): string | undefined {
  if (typeof returnUrl !== 'string' || returnUrl.length > maxLength || !returnUrl.startsWith('/'))
    return undefined
  // Browsers drop tabs and line breaks, and read backslashes as slashes.
  if (/[\p{Cc}\\]/u.test(returnUrl)) return undefined
  const resolved = URL.parse(returnUrl, origin)
  if (resolved?.origin !== origin) return undefined
  // Two slashes at the start, once dots are resolved or escapes undone, name a host to whoever takes it up next.
  if (/^\/(\/|%2f|%5c)/i.test(resolved.pathname)) return undefined
  return resolved.pathname + resolved.search + resolved.hash
}
