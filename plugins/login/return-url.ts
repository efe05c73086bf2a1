/** Keeps the transaction cookie below the browsers' limit of 4096 bytes. */
const maxLength = 2000

/**
 * Validates where to go after a login or logout: only a path on the gateway's own origin, resolved as a browser does.
 * Anything else would be an open redirect.
 *
 * @returns the path, normalised and percent-encoded, or undefined if it is not such a path
 */
export function localPath(returnUrl: unknown, origin: string): string | undefined {
  if (typeof returnUrl !== 'string' || !/^\/(?!\/)/.test(returnUrl)) return undefined
  // Browsers treat backslashes as slashes.
  if (returnUrl.includes('\\')) return undefined
  const resolved = resolveHere(returnUrl, origin)
  // The next component may decode the path first, so the decoded path must be safe, too.
  if (!resolved || !resolveHere(unescaped(resolved.pathname), origin)) return undefined
  const path = resolved.pathname + resolved.search + resolved.hash
  return path.length <= maxLength ? path : undefined
}

function resolveHere(path: string, origin: string): URL | undefined {
  // Browsers remove tabs and line breaks.
  if (/\p{Cc}/u.test(path)) return undefined
  const resolved = URL.parse(path, origin)
  if (resolved?.origin !== origin) return undefined
  // Two leading slashes, possibly after removing dot segments, would name a host.
  return /^\/(\/|%2f|%5c)/i.test(resolved.pathname) ? undefined : resolved
}

function unescaped(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
