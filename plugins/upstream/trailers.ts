import type { IncomingMessage } from 'node:http'
import { listedNames } from '../../http/fields.ts'
import { type IncomingHeaders, type ResponseHeaderRules, responseHeaders } from './response-headers.ts'
import { hasTrailers } from './upstream-answer.ts'

/**
 * Fields that must not be trailers: those needed to process the answer, cookies, credentials, request fields, and those
 * that trigger another request or restrict how the answer may be used. After the body they would come too late, or
 * bypass proxies that check headers only.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1
 */
const headerOnly =
  /^(content-(?!digest$).*|accept-.*|cache-control|expires|pragma|age|date|vary|location|link|allow|x-content-type-options|x-frame-options|x-download-options|x-robots-tag|cross-origin-.*|referrer-policy|permissions-policy|document-policy|require-document-policy|set-cookie|cookie|authorization|www-authenticate|host|expect|max-forwards|range|if-.*|retry-after|warning|x-xss-protection)$/

/**
 * The trailers of an answer that the browser gets: those that may pass as headers and are valid after a body.
 * @param headers those of the answer
 */
export function responseTrailers(
  trailers: IncomingHeaders,
  headers: IncomingHeaders,
  rules: ResponseHeaderRules,
): Record<string, string | string[]> {
  if (!hasTrailers({ trailers })) return {}
  const { connection } = headers
  const shown = Object.entries(responseHeaders({ ...trailers, connection }, rules))
  return Object.fromEntries(shown.filter(([name]) => !headerOnly.test(name)))
}

/** The `Trailer` header for the browser. Empty if none of the named trailers passes. */
export function announcedTrailers(headers: IncomingHeaders, rules: ResponseHeaderRules): string {
  const names = listedNames(headers['trailer'])
  return Object.keys(
    responseTrailers(Object.fromEntries(names.map((name) => [name, ''])), headers, rules),
  ).join(', ')
}

/** Whether trailers can follow the body of an answer. @param request the browser's */
export function carriesTrailers(
  { method, httpVersion }: Pick<IncomingMessage, 'method' | 'httpVersion'>,
  { statusCode, headers }: { statusCode: number; headers: IncomingHeaders },
): boolean {
  if (method === 'HEAD' || statusCode === 204 || statusCode === 304) return false
  // HTTP/1.1 has trailers only with chunked encoding.
  return httpVersion === '2.0' || (httpVersion === '1.1' && headers['content-length'] === undefined)
}

/**
 * Whether the browser accepts trailers (`TE: trailers`).
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-10.1.4
 */
export function wantsTrailers({
  headers,
  httpVersion,
}: Pick<IncomingMessage, 'headers' | 'httpVersion'>): boolean {
  return httpVersion !== '1.0' && listedNames(headers['te']).includes('trailers')
}
