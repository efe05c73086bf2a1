/** How far the clocks of two gateways may differ, in milliseconds. */
export const clockSkewMs = 30_000

/** Times of device binding, in milliseconds. */
export interface BindingTimes {
  /** Lifetime of the proof cookie. */
  proofMs: number
  /** Lifetime of a challenge. */
  challengeMs: number
  /** How long after the login a session can be bound; with `required` sessions that are not are refused afterwards. */
  registrationMs: number
  /**
   * Time after a registration in which requests of pages need no proof: the browser sent them before it had received
   * the proof cookie.
   */
  underWayMs: number
}

export const bindingTimes: BindingTimes = {
  proofMs: 10 * 60_000,
  challengeMs: 60_000,
  registrationMs: 60_000,
  underWayMs: 5000,
}

/**
 * Whether a sealed value is still valid. A value from the future is not: otherwise setting the clock back would extend
 * its lifetime.
 */
export function isCurrent(issuedAt: number, lifetimeMs: number, now: number): boolean {
  return issuedAt <= now + clockSkewMs && now < issuedAt + lifetimeMs
}
