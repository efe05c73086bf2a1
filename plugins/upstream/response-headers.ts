import type { ServerResponse } from 'node:http'
import { type CookieRules, mayPass } from '../../http/cookies.ts'
import { hopByHopTest, trimBlanks } from '../../http/fields.ts'
import { isForbiddenHeader, passesByDefault } from '../../http/response-allow-list.ts'
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
  const isHopByHop = hopByHopTest(incoming['connection'])
  const headers: Record<string, string | string[]> = {}
  for (const name in incoming) {
    const value = incoming[name]
    if (value === undefined || name === 'content-length' || isHopByHop(name)) continue
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
  if (length !== undefined && !isHopByHop('content-length')) headers['content-length'] = length
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

/**
 * Keeps answers out of shared caches: an answer belongs to one session, but a cache in front of the gateway sees no
 * `Authorization` header from which it could tell.
 *
 * `public` and `s-maxage` become `private`; without any caching header the answer gets `no-store`.
 *
 * @param value the upstream's `Cache-Control`
 * @param hasOtherRules the answer has `Expires` or `Pragma`, which also allow shared caching
 * @see https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
 */
export function privateCacheControl(value: string | undefined, hasOtherRules: boolean): string {
  const directives = split(value ?? '')
  if (directives.length === 0) return hasOtherRules ? 'private' : 'no-store'

  const kept = directives.filter((directive) => !isShared(directive))
  // `private="name"` applies to that one header only.
  const isPrivate = kept.some((directive) => /^(private|no-store)$/i.test(directive))
  return (isPrivate ? kept : ['private', ...kept]).join(', ')
}

function isShared(directive: string): boolean {
  return (
    /^(public|s-maxage|proxy-revalidate|private)\s*(=|$)/i.test(directive) && !/^private$/i.test(directive)
  )
}

/** Splits at commas outside of quotes. */
function split(value: string): string[] {
  const directives = value.match(/(?:[^,"]|"(?:\\.|[^"\\])*"?)+/g) ?? []
  return directives.map((directive) => directive.trim()).filter((directive) => directive !== '')
}

export type Fields = Record<string, string | string[]>

/**
 * Header fields for HTTP/2: Node allows only one value for some of them, and clients reject blanks around a value.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-5.3
 * @see https://www.rfc-editor.org/rfc/rfc9113#section-8.2.1
 */
export function singleValues(fields: Fields): Fields {
  const singles = Object.entries(fields).map(([name, value]) => [name, single(name, value)] as const)
  return Object.fromEntries(singles)
}

function single(name: string, value: string | string[]): string | string[] {
  const values = [value].flat().map(trimBlanks)
  return name === 'set-cookie' ? values : values.join(', ')
}

/** Header fields for the browser's HTTP version. */
export function fieldsFor({ req }: Pick<ServerResponse, 'req'>, fields: Fields): Fields {
  return req.httpVersionMajor === 2 ? singleValues(fields) : fields
}
