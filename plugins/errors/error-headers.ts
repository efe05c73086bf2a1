export interface ErrorHeaderOptions {
  publicUrl: URL
  /** Origins whose pages may read errors. */
  corsOrigins: string[]
}

/** Headers of errors that scripts of other origins may read: where to log in, and when to try again. */
export const exposedErrorHeaders = ['bff-login-url', 'retry-after', 'www-authenticate']

/** The same as Helmet sets in `routes/bff`. Errors need no scripts or other resources, either. */
const securityHeaders = {
  'content-security-policy': "default-src 'none';frame-ancestors 'self'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
}

/**
 * Security headers, and CORS headers for pages of allowed origins, for an error that is answered before the hooks that
 * add them, or where there are none. Empty where Helmet has set its headers: its policy may have an exception for
 * frames, and navigations get no CORS headers.
 *
 * @param origin of the request
 * @param current value of a header that the response has already
 */
export function errorHeaders(
  origin: string | undefined,
  current: (name: string) => unknown,
  { publicUrl, corsOrigins }: ErrorHeaderOptions,
): Record<string, string> {
  if (current('content-security-policy') !== undefined) return {}
  return {
    ...securityHeaders,
    ...(publicUrl.protocol === 'https:' && { 'strict-transport-security': 'max-age=31536000' }),
    ...(corsOrigins.length > 0 && { vary: withOrigin(current('vary')) }),
    ...(origin !== undefined &&
      corsOrigins.includes(origin) &&
      current('access-control-allow-origin') === undefined && {
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-expose-headers': exposedErrorHeaders.join(', '),
      }),
  }
}

function withOrigin(vary: unknown): string {
  const fields = [vary ?? []].flat().join(', ')
  if (/\borigin\b|\*/i.test(fields)) return fields
  return fields === '' ? 'Origin' : `${fields}, Origin`
}
