import { trimBlanks } from './fields.ts'

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

/**
 * The values of all cookies of a name, in the order of the header: who asks for one of them gets the first.
 *
 * With blanks before the equals sign it is the same name, for @fastify/cookie too. By the rules a browser sends
 * that for a cookie without a name, whose value is `bff =x`.
 */
export function cookieValues(header: string | undefined, name: string): string[] {
  return cookiePairs(header)
    .filter((pair) => pair.includes('=') && nameOf(pair) === name)
    .map((pair) => unescaped(pair.slice(pair.indexOf('=') + 1)))
}

function unescaped(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
