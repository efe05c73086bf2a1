import type { IncomingHttpHeaders } from 'node:http'

/** The name of the constraint, and of its member in a route's `constraints`. */
export const hostConstraint = 'publicHost'

/**
 * A constraint for Fastify's router: routes of several frontends are told apart by the host that the browser called.
 * Routes without it serve every host that has none of its own at that path.
 *
 * @param behindProxy whether `X-Forwarded-Host` counts. Whoever forges it gets another frontend, as with `Host`, and
 *   that one knows nothing of his session
 */
export function hostConstraintStrategy(behindProxy: boolean) {
  return {
    name: hostConstraint,
    storage: <T>() => {
      const byHost = new Map<string, T>()
      return {
        get: (host: string): T | null => byHost.get(host) ?? null,
        set: (host: string, store: T): void => void byHost.set(host, store),
      }
    },
    deriveConstraint: ({ headers }: { headers: IncomingHttpHeaders }) => publicHost(headers, behindProxy),
    validate: () => true,
  }
}

/** As in a URL's `hostname`: lower case, and no port. HTTP/2 has it in a header of its own. */
export function publicHost(headers: IncomingHttpHeaders, behindProxy: boolean): string {
  const forwarded = behindProxy ? headers['x-forwarded-host'] : undefined
  const [first = ''] = String(forwarded ?? headers.host ?? headers[':authority'] ?? '').split(',', 1)
  return /^(\[[^\]]*\]|[^:]*)/.exec(first.trim().toLowerCase())?.[0] ?? ''
}

/** A frontend's base path by itself is its page: `/shop` is `/shop/`. */
export function withSlash(url: string, bases: string[]): string {
  const [path = ''] = url.split('?', 1)
  return path !== '' && bases.includes(path) ? `${path}/${url.slice(path.length)}` : url
}
