import { cookiePairs, nameOf } from './cookie-pairs.ts'

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
