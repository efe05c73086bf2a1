/** Records the gateway's metrics. Durations are passed in milliseconds and exported in seconds. */
export interface Metrics {
  renewalDone(outcome: RenewalOutcome, durationMs: number): void
  /** A request starts (1) or stops (-1) waiting for a renewal. */
  renewalWaiters(change: 1 | -1): void
  sessionStarted(): void
  sessionEnded(reason: SessionEndReason, count?: number): void
  /**
   * Returns the recorder of answers of one upstream.
   * @param upstream prefix of the upstream
   */
  upstreamDuration(upstream: string): (status: number, durationMs: number) => void
  storeAnswered(operation: string, outcome: StoreOutcome, durationMs: number): void
  /** @param count is called for each scrape. Not called with Redis; then the metric does not exist. */
  sessionsActive(count: () => number): void
  /** Not called with sessions in memory; then the metric does not exist. */
  redisConnected(isConnected: boolean): void
  /**
   * @param route pattern of the route, which bounds the number of series
   * @param code the error's code, or the status class such as `2xx`
   */
  responseSent(route: string, code: string, count?: number): void
  loginDone(outcome: LoginOutcome): void
  deviceBinding(outcome: DeviceBindingOutcome): void
  /** A request was refused because the event loop is overloaded. */
  overloaded(): void
  /** Metrics for one of several frontends, labelled with its name. */
  of(frontend: string): Metrics
}

export type RenewalOutcome =
  | 'renewed'
  /** `invalid_grant`. */
  | 'refused'
  /** Temporarily; the session is kept. */
  | 'failed'
  /** The session had ended meanwhile. */
  | 'gone'
  | 'foreign_identity'

export type SessionEndReason = (typeof sessionEndReasons)[number]

/**
 * `replaced`: a new login in the same browser. `refused`: the issuer refused the refresh token. `expired`: the access
 * token ran out, and there was nothing to renew it with. `foreign_identity`: a renewal brought another user's tokens.
 * `evicted_by_user_limit`: the user had too many. `evicted`: the memory of a gateway without Redis was full. `admin`: the
 * administrator's API. `idle`, `lifetime`: its time was up. `lost`: the store lost it, or its end has no known reason.
 */
export const sessionEndReasons = [
  'logout',
  'backchannel_logout',
  'frontchannel_logout',
  'replaced',
  'refused',
  'expired',
  'foreign_identity',
  'evicted_by_user_limit',
  'evicted',
  'admin',
  'idle',
  'lifetime',
  'lost',
] as const

/** `unavailable`: it did not answer, or not in time. `error`: anything else went wrong. */
export type StoreOutcome = (typeof storeOutcomes)[number]

/**
 * `ended`: a refresh for a session that is over. `refused`: a request without the proof that its session needs.
 */
export type DeviceBindingOutcome = (typeof deviceBindingOutcomes)[number]

export type LoginOutcome = (typeof loginOutcomes)[number]

export const renewalOutcomes = [
  'renewed',
  'refused',
  'failed',
  'gone',
  'foreign_identity',
] as const satisfies RenewalOutcome[]
/** The measured operations of the store. Not `changed`, which waits indefinitely, and `listAll`, which takes as long as its caller. */
export const storeOperations = [
  'create',
  'put',
  'read',
  'replace',
  'touch',
  'destroy',
  'destroyBy',
  'endReason',
  'trim',
  'list',
  'updateProfile',
  'lock',
  'addMarker',
  'markerTtlMs',
  'ping',
] as const
export const storeOutcomes = ['ok', 'unavailable', 'error'] as const
/** `silent_refused`: a silent login of a user who is not signed in at the issuer. `failed`: the issuer or the store did. */
export const loginOutcomes = ['succeeded', 'rejected', 'silent_refused', 'failed'] as const

export const deviceBindingOutcomes = [
  'registered',
  'registration_rejected',
  'refreshed',
  'refresh_rejected',
  'ended',
  'refused',
] as const

/** No-op metrics, for a gateway without METRICS_PORT. */
export const noMetrics: Metrics = {
  renewalDone() {},
  renewalWaiters() {},
  sessionStarted() {},
  sessionEnded() {},
  upstreamDuration: () => () => {},
  storeAnswered() {},
  sessionsActive() {},
  redisConnected() {},
  responseSent() {},
  loginDone() {},
  deviceBinding() {},
  overloaded() {},
  of: () => noMetrics,
}
