import type { IncomingHttpHeaders } from 'node:http'
import { compile } from '@fastify/proxy-addr'

/** The name of the constraint, and of its member in a route's `constraints`. */
export const hostConstraint = 'publicHost'

/**
 * A constraint for Fastify's router: routes of several frontends are told apart by the host that the browser called.
 * Routes without it serve every host that has none of its own at that path.
 *
 * @param trustProxy which proxies may say what host that was, by the rules of Fastify's `request.host`. Who forges it
 *   gets another frontend, as with `Host`, and that one knows nothing of his session
 */
export function hostConstraintStrategy(trustProxy: TrustProxy) {
  const trusts = trusting(trustProxy)
  return {
    name: hostConstraint,
    storage: <T>() => {
      const byHost = new Map<string, T>()
      return {
        get: (host: string): T | null => byHost.get(host) ?? null,
        set: (host: string, store: T): void => void byHost.set(host, store),
      }
    },
    deriveConstraint: ({ headers, socket }: RoutedRequest) =>
      publicHost(headers, trusts(socket?.remoteAddress)),
    validate: () => true,
  }
}

type TrustProxy = boolean | number | string[]

interface RoutedRequest {
  headers: IncomingHttpHeaders
  socket?: { remoteAddress?: string | undefined }
}

/** Whether the one that a request came from is such a proxy. */
function trusting(trustProxy: TrustProxy): (address: string | undefined) => boolean {
  if (!Array.isArray(trustProxy)) return () => Number(trustProxy) > 0
  const isListed = compile(trustProxy)
  return (address = '') => isListed(address, 0)
}

/**
 * As in a URL's `hostname`: lower case, and no port. HTTP/2 has it in a header of its own.
 * @param isForwarded whether a trusted proxy sent the request. Of several hosts the last is the one that it added
 */
export function publicHost(headers: IncomingHttpHeaders, isForwarded: boolean): string {
  const forwarded = isForwarded ? String(headers['x-forwarded-host'] ?? '') : ''
  const named = forwarded.split(',').at(-1)?.trim() || String(headers.host ?? headers[':authority'] ?? '')
  return /^(\[[^\]]*\]|[^:]*)/.exec(named.trim().toLowerCase())?.[0] ?? ''
}

/** A frontend's base path by itself is its page: `/shop` is `/shop/`. */
export function withSlash(url: string, bases: string[]): string {
  const [path = ''] = url.split('?', 1)
  return path !== '' && bases.includes(path) ? `${path}/${url.slice(path.length)}` : url
}
