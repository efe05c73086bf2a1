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
  /** The same for one of several frontends, by whose name its numbers are told apart. */
  of(frontend: string): Metrics
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
  of: () => noMetrics,
}

/**
 * Metrics that can be read, with Node's own among them.
 * @param several frontends, each of which has its own: `metrics.of`
 */
export function createMetrics({ several = false } = {}): { metrics: Metrics; registry: Registry } {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const whose = several ? ['frontend'] : []

  const renewals = new Counter({
    name: 'bff_token_renewals_total',
    help: 'Refresh token grants by what they led to',
    labelNames: [...whose, 'outcome'],
    registers,
  })
  const renewalDuration = new Histogram({
    name: 'bff_token_renewal_duration_seconds',
    help: 'From the refresh token grant to the stored tokens',
    labelNames: whose,
    registers,
  })
  const waiters = new Gauge({
    name: 'bff_token_renewal_waiters',
    help: 'Requests that wait for a renewal now',
    labelNames: whose,
    registers,
  })
  const sessionsStarted = new Counter({
    name: 'bff_sessions_started_total',
    help: 'Sessions that a login began',
    labelNames: whose,
    registers,
  })
  const sessionsEnded = new Counter({
    name: 'bff_sessions_ended_total',
    help: 'Sessions that ended otherwise than by running out of time',
    labelNames: [...whose, 'reason'],
    registers,
  })
  const upstreamDuration = new Histogram({
    name: 'bff_upstream_request_duration_seconds',
    help: "From a request's start to the headers of the upstream's answer; 502 and 504 also when none came",
    labelNames: [...whose, 'upstream', 'status'],
    registers,
  })
  const storeDuration = new Histogram({
    name: 'bff_store_duration_seconds',
    help: 'Operations of the session store, failed ones included',
    labelNames: ['operation'],
    buckets: [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
    registers,
  })

  const metricsWith = (labels: { frontend?: string }): Metrics => ({
    renewalDone(outcome, durationMs) {
      renewals.inc({ ...labels, outcome })
      renewalDuration.observe(labels, durationMs / 1000)
    },
    renewalWaiters: (change) => waiters.inc(labels, change),
    sessionStarted: () => sessionsStarted.inc(labels),
    sessionEnded: (reason, count = 1) => sessionsEnded.inc({ ...labels, reason }, count),
    upstreamAnswered: (upstream, status, durationMs) =>
      upstreamDuration.observe({ ...labels, upstream, status }, durationMs / 1000),
    storeAnswered: (operation, durationMs) => storeDuration.observe({ operation }, durationMs / 1000),
    of: (frontend) => metricsWith({ frontend }),
  })
  return { metrics: metricsWith({}), registry }
}
