const firstMs = 1000
const maxMs = 30_000

/**
 * How long to leave the issuer alone after a failed grant: 1 s doubling to 30 s, less up to a quarter at random
 * so that sessions that failed together don't come back together.
 *
 * @param failures how many grants in a row had failed before this one
 * @param random from 0 up to 1
 * @param retryAfterMs what the issuer asked for; never tried sooner than that
 */
export function backOffMs(failures: number, random: number, retryAfterMs = 0): number {
  const doubled = Math.min(firstMs * 2 ** failures, maxMs)
  return Math.max(Math.round(doubled * (1 - random / 4)), retryAfterMs)
}
