import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'

/** What the gateway counts and measures. Durations come in milliseconds and are shown in seconds. */
export interface Metrics {
  renewalDone(outcome: RenewalOutcome, durationMs: number): void
  /** Requests that begin (1) or cease (-1) to wait for a renewal. */
  renewalWaiters(change: 1 | -1): void
  sessionStarted(): void
  sessionEnded(reason: SessionEndReason, count?: number): void
  /** @param upstream its prefix */
  upstreamAnswered(upstream: string, status: number, durationMs: number): void
  storeAnswered(operation: string, durationMs: number): void
}

export type RenewalOutcome =
  | 'renewed'
  /** `invalid_grant`. */
  | 'refused'
  /** For now: the session stays. */
  | 'failed'
  /** The session had ended meanwhile. */
  | 'gone'
  | 'foreign_identity'

export type SessionEndReason =
  | 'logout'
  | 'backchannel_logout'
  | 'frontchannel_logout'
  /** The issuer refused the refresh token. */
  | 'refused'
  /** The access token ran out, and there was nothing to renew it with. */
  | 'expired'
  | 'foreign_identity'

/** For where nobody asks. */
export const noMetrics: Metrics = {
  renewalDone() {},
  renewalWaiters() {},
  sessionStarted() {},
  sessionEnded() {},
  upstreamAnswered() {},
  storeAnswered() {},
}

/** Metrics that can be read, with Node's own among them. */
export function createMetrics(): { metrics: Metrics; registry: Registry } {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const renewals = new Counter({
    name: 'bff_token_renewals_total',
    help: 'Refresh token grants by what they led to',
    labelNames: ['outcome'],
    registers,
  })
  const renewalDuration = new Histogram({
    name: 'bff_token_renewal_duration_seconds',
    help: 'From the refresh token grant to the stored tokens',
    registers,
  })
  const waiters = new Gauge({
    name: 'bff_token_renewal_waiters',
    help: 'Requests that wait for a renewal now',
    registers,
  })
  const sessionsStarted = new Counter({
    name: 'bff_sessions_started_total',
    help: 'Sessions that a login began',
    registers,
  })
  const sessionsEnded = new Counter({
    name: 'bff_sessions_ended_total',
    help: 'Sessions that ended otherwise than by running out of time',
    labelNames: ['reason'],
    registers,
  })
  const upstreamDuration = new Histogram({
    name: 'bff_upstream_request_duration_seconds',
    help: "From a request's start to the headers of the upstream's answer; 502 and 504 also when none came",
    labelNames: ['upstream', 'status'],
    registers,
  })
  const storeDuration = new Histogram({
    name: 'bff_store_duration_seconds',
    help: 'Operations of the session store, failed ones included',
    labelNames: ['operation'],
    buckets: [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
    registers,
  })

  const metrics: Metrics = {
    renewalDone(outcome, durationMs) {
      renewals.inc({ outcome })
      renewalDuration.observe(durationMs / 1000)
    },
    renewalWaiters: (change) => waiters.inc(change),
    sessionStarted: () => sessionsStarted.inc(),
    sessionEnded: (reason, count = 1) => sessionsEnded.inc({ reason }, count),
    upstreamAnswered: (upstream, status, durationMs) =>
      upstreamDuration.observe({ upstream, status }, durationMs / 1000),
    storeAnswered: (operation, durationMs) => storeDuration.observe({ operation }, durationMs / 1000),
  }
  return { metrics, registry }
}
