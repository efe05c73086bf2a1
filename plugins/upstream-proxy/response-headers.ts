import { privateCacheControl } from './cache-rules.ts'
import { type CookieRules, mayPass } from './cookies.ts'
import { isHopByHop, namedBy } from './hop-by-hop.ts'
import { browserLocation } from './location.ts'

export interface ResponseHeaderRules {
  /** Path below which the browser sees the upstream. */
  prefix: string
  target: URL
  /** Names that may pass besides those that are needed to read the answer right. Unset: all. */
  allowed?: ReadonlySet<string> | undefined
  /** What the browser gets of the upstream's cookies. */
  cookies: CookieRules
}

export type IncomingHeaders = Record<string, string | string[] | undefined>

/**
 * Of the upstream's own origin, and harmful for ours: `Clear-Site-Data` would sign the user out, `X-Accel-*` (but for the
 * wish not to be buffered) and the CDN headers steer a proxy in front of us past the cache rules, and CORS is for us
 * to grant.
 */
const upstreamOnly =
  /^(alt-svc|clear-site-data|strict-transport-security|surrogate-.*|cdn-cache-control|.*-cdn-cache-control|x-accel-(?!buffering$).*|x-sendfile|access-control-.*)$/

/**
 * What says how the answer is to be read and kept, how it may be used, and where it leads: without one of them it
 * would be another answer, or a less protected one.
 */
const needed =
  /^(content-.*|x-content-type-options|x-frame-options|cross-origin-.*|referrer-policy|permissions-policy|cache-control|expires|pragma|age|date|vary|location)$/

/** True for what has to stand before the body. @param name lower case */
export function isNeeded(name: string): boolean {
  return needed.test(name)
}

/** True for what never reaches a browser as the upstream sent it. @param name lower case */
export function isUpstreamsOwn(name: string): boolean {
  return isHopByHop(name) || upstreamOnly.test(name)
}

/** What the browser gets to see of an answer's headers. */
export function responseHeaders(incoming: IncomingHeaders, rules: ResponseHeaderRules) {
  const endsHere = namedBy(incoming['connection'])
  const { allowed } = rules
  const headers: Record<string, string | string[]> = {}
  for (const name in incoming) {
    const value = incoming[name]
    if (value === undefined || isUpstreamsOwn(name) || endsHere(name)) continue
    if (name === 'set-cookie') {
      const cookies = [value].flat().filter((cookie) => mayPass(cookie, rules.cookies))
      if (cookies.length > 0) headers[name] = cookies
    } else if (!allowed || allowed.has(name) || needed.test(name)) {
      headers[name] = value
    }
  }
  const { location } = headers
  if (typeof location === 'string') {
    headers['location'] = browserLocation(location, rules.target, rules.prefix)
  }
  const cacheControl = [incoming['cache-control'] ?? []].flat().join(', ')
  const saysOtherwise = incoming['expires'] !== undefined || incoming['pragma'] !== undefined
  headers['cache-control'] = privateCacheControl(cacheControl, saysOtherwise)
  return headers
}

/** What an answer varies by for the gateway as well as for the upstream. */
export function mergedVary(ours: string, theirs: string | string[] = []): string {
  const names = [ours, theirs].flat().flatMap((value) => value.split(','))
  const distinct = new Map(names.map((name) => name.trim()).map((name) => [name.toLowerCase(), name]))
  distinct.delete('')
  return [...distinct.values()].join(', ')
}
