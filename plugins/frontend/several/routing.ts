import type { IncomingHttpHeaders } from 'node:http'
import { compile } from '@fastify/proxy-addr'

/** Name of the constraint, also as a key of a route's `constraints`. */
export const hostConstraint = 'publicHost'

/**
 * A constraint for Fastify's router: it selects among the routes of several frontends by the host that the browser
 * called. Routes without the constraint serve every host that has no route at that path.
 *
 * @param trustProxy proxies whose `X-Forwarded-Host` is used, by the rules of Fastify's `request.host`. A client that
 *   forges it gets another frontend, as with a forged `Host`, and no session there
 */
export function hostConstraintStrategy(trustProxy: TrustProxy) {
  const isTrusted = proxyTest(trustProxy)
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
      publicHost(headers, isTrusted(socket?.remoteAddress)),
    validate: () => true,
  }
}

type TrustProxy = boolean | number | string[]

interface RoutedRequest {
  headers: IncomingHttpHeaders
  socket?: { remoteAddress?: string | undefined }
}

/** A test whether the peer at an address is a trusted proxy. */
function proxyTest(trustProxy: TrustProxy): (address: string | undefined) => boolean {
  if (!Array.isArray(trustProxy)) return () => Number(trustProxy) > 0
  const isListed = compile(trustProxy)
  return (address = '') => isListed(address, 0)
}

/**
 * The host that the browser called, like a URL's `hostname`: lower case, without port. Over HTTP/2 it is in `:authority`.
 * @param isForwarded whether a trusted proxy sent the request. Of several forwarded hosts, it added the last
 */
export function publicHost(headers: IncomingHttpHeaders, isForwarded: boolean): string {
  const forwarded = isForwarded ? String(headers['x-forwarded-host'] ?? '') : ''
  const named = forwarded.split(',').at(-1)?.trim() || String(headers.host ?? headers[':authority'] ?? '')
  return /^(\[[^\]]*\]|[^:]*)/.exec(named.trim().toLowerCase())?.[0] ?? ''
}

/** Maps a frontend's base path to its page: `/shop` becomes `/shop/`. */
export function withSlash(url: string, bases: string[]): string {
  const [path = ''] = url.split('?', 1)
  return path !== '' && bases.includes(path) ? `${path}/${url.slice(path.length)}` : url
}
