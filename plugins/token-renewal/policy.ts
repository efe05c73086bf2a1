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
