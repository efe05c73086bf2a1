import { privateCacheControl } from './cache-rules.ts'
import { endsHere } from './hop-by-hop.ts'
import { browserLocation } from './location.ts'

export interface ResponseHeaderRules {
  /** Path below which the browser sees the upstream. */
  prefix: string
  target: URL
  /** Names of the upstream's cookies that the browser may have. */
  cookies: string[]
  /** Name of the gateway's own cookie, with which those of login transactions begin. */
  sessionCookie: string
}

export type IncomingHeaders = Record<string, string | string[] | undefined>

/**
 * Of the upstream's own origin, and harmful for ours: `Clear-Site-Data` would sign the user out, `X-Accel-*` (but for the
 * wish not to be buffered) and the CDN headers steer a proxy in front of us past the cache rules, and CORS is for us
 * to grant.
 */
const upstreamOnly =
  /^(alt-svc|clear-site-data|strict-transport-security|surrogate-.*|cdn-cache-control|.*-cdn-cache-control|x-accel-(?!buffering$).*|x-sendfile|access-control-.*)$/

/** What the browser gets to see of an answer's headers. */
export function responseHeaders(incoming: IncomingHeaders, rules: ResponseHeaderRules) {
  const isHopByHop = endsHere(incoming['connection'])
  const headers: Record<string, string | string[]> = {}
  for (const name in incoming) {
    const value = incoming[name]
    if (value === undefined || isHopByHop(name) || upstreamOnly.test(name)) continue
    if (name === 'set-cookie') {
      const allowed = [value].flat().filter((cookie) => isAllowed(cookie, rules))
      if (allowed.length > 0) headers[name] = allowed
    } else {
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

/** Never one of the gateway's own: an upstream could sign the user in as somebody else. */
function isAllowed(setCookie: string, { cookies, sessionCookie }: ResponseHeaderRules): boolean {
  const name = (setCookie.split('=', 1)[0] ?? '').trim()
  return cookies.includes(name) && name !== sessionCookie && !name.startsWith(`${sessionCookie}-tx`)
}
