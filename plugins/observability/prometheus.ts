import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'
import {
  deviceBindingOutcomes,
  loginOutcomes,
  type Metrics,
  renewalOutcomes,
  type StoreOutcome,
  sessionEndReasons,
  storeOperations,
  storeOutcomes,
} from './metrics.ts'

/** Up to the longest usual time-outs: 30 s for an upstream, 2.5 times 5 s for the issuer. */
const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60]

/**
 * Prometheus metrics and their registry, Node's default metrics included.
 * @param several true for several frontends, which get their own metrics by `metrics.of`
 */
export function createMetrics({ several = false } = {}): { metrics: Metrics; registry: Registry } {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const frontendLabel = several ? ['frontend'] : []

  const renewals = new Counter({
    name: 'bff_token_renewals_total',
    help: 'Refresh token grants by outcome',
    labelNames: [...frontendLabel, 'outcome'],
    registers,
  })
  const renewalDuration = new Histogram({
    name: 'bff_token_renewal_duration_seconds',
    help: 'Duration from the refresh token grant until the new tokens are stored',
    labelNames: frontendLabel,
    buckets,
    registers,
  })
  const waiters = new Gauge({
    name: 'bff_token_renewal_waiters',
    help: 'Requests that currently wait for a renewal',
    labelNames: frontendLabel,
    registers,
  })
  const sessionsStarted = new Counter({
    name: 'bff_sessions_started_total',
    help: 'Sessions started by a login',
    labelNames: frontendLabel,
    registers,
  })
  const sessionsEnded = new Counter({
    name: 'bff_sessions_ended_total',
    help: 'Sessions that ended. Those that expired or were lost are counted when a request finds that out',
    labelNames: [...frontendLabel, 'reason'],
    registers,
  })
  const upstreamDuration = new Histogram({
    name: 'bff_upstream_request_duration_seconds',
    help: "Duration from the start of a request to the headers of the upstream's response; status 502 or 504 if there was none",
    labelNames: [...frontendLabel, 'upstream', 'status'],
    buckets,
    registers,
  })
  const storeDuration = new Histogram({
    name: 'bff_store_duration_seconds',
    help: 'Duration of session store operations, failed ones included',
    labelNames: ['operation', 'outcome'],
    buckets: [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10],
    registers,
  })
  let redisGauge: Gauge | undefined
  const redisConnection = () => {
    redisGauge ??= new Gauge({
      name: 'bff_redis_connected',
      help: 'Whether there is a connection to Redis: 1 or 0',
      registers,
    })
    return redisGauge
  }
  const responses = new Counter({
    name: 'bff_http_responses_total',
    help: "Responses to browsers by route and by the error's code or the status class",
    labelNames: [...frontendLabel, 'route', 'code'],
    registers,
  })
  const logins = new Counter({
    name: 'bff_logins_total',
    help: 'Logins that returned from the issuer, by outcome',
    labelNames: [...frontendLabel, 'outcome'],
    registers,
  })
  const deviceBindings = new Counter({
    name: 'bff_device_bindings_total',
    help: 'Registrations and refreshes of device-bound sessions, and requests refused for a missing proof',
    labelNames: [...frontendLabel, 'outcome'],
    registers,
  })
  const overloads = new Counter({
    name: 'bff_event_loop_overloaded_total',
    help: 'Requests refused because the event loop was late by more than a second',
    registers,
  })

  const metricsWith = (labels: { frontend?: string }): Metrics => {
    // Start all counters at 0: a rate over a counter that appears with its first event would miss that event.
    for (const outcome of renewalOutcomes) renewals.inc({ ...labels, outcome }, 0)
    for (const outcome of loginOutcomes) logins.inc({ ...labels, outcome }, 0)
    for (const outcome of deviceBindingOutcomes) deviceBindings.inc({ ...labels, outcome }, 0)
    for (const reason of sessionEndReasons) sessionsEnded.inc({ ...labels, reason }, 0)
    return recorder(labels)
  }

  for (const operation of storeOperations)
    for (const outcome of storeOutcomes) storeDuration.zero({ operation, outcome })
  const storeSeries = remembered((operation: string, outcome: StoreOutcome) =>
    storeDuration.labels({ operation, outcome }),
  )

  const recorder = (labels: { frontend?: string }): Metrics => {
    const responseSeries = remembered((route: string, code: string) =>
      responses.labels({ ...labels, route, code }),
    )
    return {
      renewalDone(outcome, durationMs) {
        renewals.inc({ ...labels, outcome })
        renewalDuration.observe(labels, durationMs / 1000)
      },
      renewalWaiters: (change) => waiters.inc(labels, change),
      sessionStarted: () => sessionsStarted.inc(labels),
      sessionEnded: (reason, count = 1) => sessionsEnded.inc({ ...labels, reason }, count),
      upstreamDuration(upstream) {
        const series = remembered((status: number) =>
          upstreamDuration.labels({ ...labels, upstream, status }),
        )
        // What alerts look at.
        for (const status of [502, 504]) upstreamDuration.zero({ ...labels, upstream, status })
        return (status, durationMs) => series(status).observe(durationMs / 1000)
      },
      storeAnswered(operation, outcome, durationMs) {
        storeSeries(operation, outcome).observe(durationMs / 1000)
      },
      sessionsActive(count) {
        new Gauge({
          name: 'bff_sessions_active',
          help: 'Sessions in the memory of this process',
          registers,
          collect() {
            this.set(count())
          },
        })
      },
      redisConnected: (isConnected) => redisConnection().set(isConnected ? 1 : 0),
      responseSent: (route, code, count = 1) => responseSeries(route, code).inc(count),
      loginDone: (outcome) => logins.inc({ ...labels, outcome }),
      deviceBinding: (outcome) => deviceBindings.inc({ ...labels, outcome }),
      overloaded: () => overloads.inc(),
      of: (frontend) => metricsWith({ frontend }),
    }
  }
  // With several frontends every sample has a `frontend` label.
  return { metrics: several ? recorder({}) : metricsWith({}), registry }
}

/**
 * Calls `make` once for each combination of arguments: finding a series by its labels costs an object and a search.
 * @param make its arguments must be few different ones
 */
function remembered<A extends (string | number)[], T>(make: (...args: A) => T): (...args: A) => T {
  const made = new Map<string | number, T>()
  return (...args) => {
    const key = args.length === 1 ? (args[0] ?? '') : args.join(' ')
    const known = made.get(key)
    if (known !== undefined) return known
    const value = make(...args)
    made.set(key, value)
    return value
  }
}
