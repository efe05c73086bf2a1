import { namedBy } from '../../http/fields.ts'
import { isForbiddenHeader, passesByDefault } from '../../http/response-allow-list.ts'
import { privateCacheControl } from './cache-rules.ts'
import { type CookieRules, mayPass } from './cookies.ts'
import { browserLinks, browserLocation, type Places } from './location.ts'

export interface ResponseHeaderRules extends Places {
  /** Names that may pass in addition to the allow-list, lower case; `all`: every header that is not forbidden. */
  allowed: ReadonlySet<string> | 'all'
  /** Which of the upstream's cookies the browser gets. */
  cookies: CookieRules
  /** Whether answers differ between users: then no cache, the browser's own included, may reuse one for another user. */
  perUser: boolean
}

export type IncomingHeaders = Record<string, string | string[] | undefined>

/** The headers of an answer that the browser gets. */
export function responseHeaders(incoming: IncomingHeaders, rules: ResponseHeaderRules) {
  const endsHere = namedBy(incoming['connection'])
  const headers: Record<string, string | string[]> = {}
  for (const name in incoming) {
    const value = incoming[name]
    if (value === undefined || name === 'content-length' || endsHere(name)) continue
    if (name === 'set-cookie') {
      const cookies = [value].flat().filter((cookie) => mayPass(cookie, rules.cookies))
      if (cookies.length > 0) headers[name] = cookies
    } else if (mayReachBrowser(name, rules)) {
      headers[name] = value
    }
  }
  const { location, link } = headers
  const contentLocation = headers['content-location']
  if (location !== undefined) headers['location'] = each(location, browserLocation, rules)
  if (contentLocation !== undefined)
    headers['content-location'] = each(contentLocation, browserLocation, rules)
  if (link !== undefined) headers['link'] = each(link, browserLinks, rules)
  if (rules.perUser) {
    const { vary } = headers
    headers['vary'] = vary === undefined ? 'Cookie' : mergedVary('Cookie', vary)
  }
  const cacheControl = [incoming['cache-control'] ?? []].flat().join(', ')
  const hasOtherRules = incoming['expires'] !== undefined || incoming['pragma'] !== undefined
  headers['cache-control'] = privateCacheControl(cacheControl, hasOtherRules)
  // Last: once Node knows the length, it encodes `Content-Disposition` as UTF-8 instead of latin1.
  const length = incoming['content-length']
  if (length !== undefined && !endsHere('content-length')) headers['content-length'] = length
  return headers
}

/** @param name lower case */
function mayReachBrowser(name: string, { allowed }: Pick<ResponseHeaderRules, 'allowed'>): boolean {
  return passesByDefault(name) || ((allowed === 'all' || allowed.has(name)) && !isForbiddenHeader(name))
}

/** Merges `Vary` headers: each name once, in its last spelling. */
export function mergedVary(...values: (string | string[] | undefined)[]): string {
  const names = values.flat().flatMap((value) => value?.split(',') ?? [])
  const distinct = new Map(names.map((name) => name.trim()).map((name) => [name.toLowerCase(), name]))
  distinct.delete('')
  return [...distinct.values()].join(', ')
}

function each(
  value: string | string[],
  map: (text: string, places: Places) => string,
  places: Places,
): string | string[] {
  return typeof value === 'string' ? map(value, places) : value.map((text) => map(text, places))
}
