export type RenewalDecision =
  /** Long enough to live, or all there is. */
  | 'use'
  /** Inside the window: goes out at once while one renewal runs in the background. */
  | 'use-and-renew'
  /** Too short to live to be sent: wait for the one renewal. */
  | 'wait'
  /** Expired, and nothing to renew it with. */
  | 'ended'

/** The most that a token may have left and yet not be sent, in milliseconds. */
const maxMarginMs = 5000

/** An access token's times, in milliseconds since the epoch, and what it is renewed with. */
export interface Renewable {
  expiresAt?: number
  obtainedAt: number
  refreshToken?: string | undefined
}

/**
 * What a request does with a token at `now`.
 *
 * The renewal window is `refreshBeforeExpirationMs` or half the token's lifetime, whichever is shorter. A token is
 * usable while it has more than five seconds, or a third of the window, left.
 */
export function decideRenewal(
  { expiresAt, obtainedAt, refreshToken }: Renewable,
  refreshBeforeExpirationMs: number,
  now: number,
): RenewalDecision {
  if (expiresAt === undefined) return 'use'
  const leftMs = expiresAt - now
  if (refreshToken === undefined) return leftMs > 0 ? 'use' : 'ended'

  const windowMs = Math.min(refreshBeforeExpirationMs, (expiresAt - obtainedAt) / 2)
  if (leftMs > windowMs) return 'use'
  return leftMs > Math.min(maxMarginMs, windowMs / 3) ? 'use-and-renew' : 'wait'
}

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
