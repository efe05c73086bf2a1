import { trimBlanks } from '../trim-blanks.ts'

/**
 * The cookies of a `Cookie` header, in its order, each as the browser sent it.
 *
 * Spaces and tabs around a name are no part of it, as for browsers, and nothing else is: `String.trim` takes more, and
 * so a cookie that a neighbour may set, since its name begins with such a byte, would become our `__Host-bff`.
 *
 * @see https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis-22#section-4.1.3
 */
export function cookiePairs(header: string | undefined): string[] {
  return header?.split(';').map(trimBlanks) ?? []
}

/** @param pair begins with its name, as in `Cookie` and `Set-Cookie` */
export function nameOf(pair: string): string {
  return trimBlanks(pair.split('=', 1)[0] ?? '')
}
