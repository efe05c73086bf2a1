export type RenewalDecision =
  /** The token is valid for long enough, or can't be renewed but has not expired. */
  | 'use'
  /** Inside the renewal window: use it now and renew it in the background. */
  | 'use-and-renew'
  /** Expired or about to: wait for the renewal. */
  | 'wait'
  /** Expired, and can't be renewed. */
  | 'ended'

/** Upper bound for the remaining lifetime below which a token is not sent, in milliseconds. */
const maxMarginMs = 5000

/** An access token's times in milliseconds since the epoch. */
export interface Renewable {
  expiresAt?: number | undefined
  obtainedAt: number
  /** Whether there is what its grant needs, such as a refresh token. */
  canRenew: boolean
}

/**
 * Decides whether a request uses a token at `now`, waits for a renewal, or both uses and renews it.
 *
 * The renewal window is `refreshBeforeExpirationMs` or half the token's lifetime, whichever is shorter. A token is
 * usable while it has more than five seconds or a third of the window left, whichever is shorter.
 */
export function decideRenewal(
  { expiresAt, obtainedAt, canRenew }: Renewable,
  refreshBeforeExpirationMs: number,
  now: number,
): RenewalDecision {
  if (expiresAt === undefined) return 'use'
  const leftMs = expiresAt - now
  if (!canRenew) return leftMs > 0 ? 'use' : 'ended'

  const windowMs = Math.min(refreshBeforeExpirationMs, (expiresAt - obtainedAt) / 2)
  if (leftMs > windowMs) return 'use'
  return leftMs > Math.min(maxMarginMs, windowMs / 3) ? 'use-and-renew' : 'wait'
}

const firstMs = 1000
const maxMs = 30_000

/**
 * Back-off after a failed grant: 1 s, doubling up to 30 s, minus up to a quarter at random (jitter), so that sessions
 * that failed together don't retry together.
 *
 * @param failures number of consecutive failures before this one
 * @param random from 0 up to 1
 * @param retryAfterMs the issuer's `Retry-After`: the minimum
 */
export function backOffMs(failures: number, random: number, retryAfterMs = 0): number {
  const doubled = Math.min(firstMs * 2 ** failures, maxMs)
  return Math.max(Math.round(doubled * (1 - random / 4)), retryAfterMs)
}
