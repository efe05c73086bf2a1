/** URL and headers of a request are limited to 16 KiB together. */
const maxLength = 8192

export interface ReturnUrlOptions {
  publicUrl: URL
  /** Origins of frontends that the gateway doesn't serve. */
  corsOrigins: string[]
}

/**
 * Validates where to go after a login or logout: a path on the gateway's own origin, or a URL of an origin in the list,
 * which must begin with that origin as it is spelled there. Anything else would be an open redirect.
 *
 * @returns the path or URL, normalised and percent-encoded, or undefined if it is neither
 */
export function allowedReturnUrl(
  returnUrl: unknown,
  { publicUrl, corsOrigins }: ReturnUrlOptions,
): string | undefined {
  const origin = corsOrigins.find(
    (one) =>
      typeof returnUrl === 'string' && isPathOrNothing(returnUrl, one.length) && returnUrl.startsWith(one),
  )
  if (origin === undefined) return localPath(returnUrl, publicUrl.origin)
  const rest = String(returnUrl).slice(origin.length)
  // The same rules as for our own paths: `https://app.example.com@evil.example` names another host.
  const path = localPath(rest.startsWith('/') ? rest : `/${rest}`, publicUrl.origin)
  return path === undefined ? undefined : origin + path
}

/** Whether nothing, a path, a query or a fragment begins at `index`. */
function isPathOrNothing(url: string, index: number): boolean {
  return url.length === index || ['/', '?', '#'].includes(url.charAt(index))
}

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
