import { type Clock, isoTime } from '../../lib/clock.ts'
import { createExpiringMap } from '../../lib/expiring-map.ts'
import { noTracing, type Span, type Tracing } from '../../lib/tracing.ts'
import { type SessionStore, StoreUnavailableError } from '../session-store/store.ts'
import {
  createSingleFlight,
  createStoreTime,
  createWaitLimit,
  type Flight,
  type StoreTime,
} from './flight.ts'
import { decideRenewal, type RenewalDecision } from './policy.ts'
import type { RenewableToken, RenewalLog } from './renewable-token.ts'
import { createRenewalLock, type RenewalResult } from './renewal-lock.ts'
import { inRenewalSpan } from './renewal-span.ts'

/** Adds fields to each line. */
export function logWith(log: RenewalLog, about: object): RenewalLog {
  return {
    trace: (fields) => log.trace({ ...fields, ...about }),
    debug: (fields) => log.debug({ ...fields, ...about }),
    info: (fields) => log.info({ ...fields, ...about }),
    warn: (fields) => log.warn({ ...fields, ...about }),
  }
}

export interface Renewer<T> {
  /**
   * A token that can be sent now. Waits for the issuer only if there is none.
   * @param seen the holder as the caller has read it
   * @param storeTime of the request that waits for the token
   */
  usable(token: RenewableToken<T>, seen: T, storeTime?: StoreTime): Promise<RenewalResult<T>>
  /** Whether the token can be sent now, and is not due for renewal. */
  isFresh(token: Pick<RenewableToken<T>, 'times' | 'end'>, holder: T): boolean
  /**
   * After an upstream has answered 401 to a token: a newer one, stored meanwhile or from a forced renewal. At most one
   * forced renewal per token, upstream and `refreshBeforeExpirationMs`, for upstreams that refuse every token.
   * @param upstream name of the upstream, for that limit
   */
  forceRenewal(token: RenewableToken<T>, seen: T, upstream: string): Promise<RenewalResult<T>>
  /** Resolves when no renewal is under way. */
  idle(): Promise<void>
}

export interface RenewerOptions {
  store: Pick<SessionStore, 'lock' | 'changed' | 'addMarker'>
  clock: Clock
  refreshBeforeExpirationMs: number
  /** How long a request waits for the issuer, in milliseconds. */
  issuerTimeoutMs: number
  /** How long a request waits for the store, in milliseconds. Default: as long as for the issuer. */
  storeTimeoutMs?: number
  /** Maximum number of tokens in back-off that this process remembers. Default 10,000. */
  maxBackingOff?: number
  /** Counts waiting requests. */
  onWaiting: (change: 1 | -1) => void
  /** Default: no traces. */
  tracing?: Tracing
}

interface Start {
  background?: boolean
  /** Set for a forced renewal, although the token has not expired: whether it is permitted. */
  permitForced?: (() => Promise<boolean>) | undefined
}

/** Renews tokens: decides when, and joins the requests that wait for one. Knows neither issuer nor sessions. */
export function createRenewer<T>(options: RenewerOptions): Renewer<T> {
  const { store, clock, refreshBeforeExpirationMs, issuerTimeoutMs, maxBackingOff = 10_000 } = options
  const { tracing = noTracing } = options
  const withRenewalLock = createRenewalLock(options)
  const withinWaitLimit = createWaitLimit({ storeTimeoutMs: issuerTimeoutMs, ...options })
  const flights = createSingleFlight<RenewalResult<T>>(clock)
  /** Tokens in back-off: no renewal in the background, which would only load the store. */
  const backingOff = createExpiringMap<{ failed: true }>({ clock, maxEntries: maxBackingOff })

  return {
    usable,
    isFresh: (token, holder) => decide(token, holder) === 'use',
    forceRenewal,
    idle: flights.idle,
  }

  async function usable(
    token: RenewableToken<T>,
    seen: T,
    storeTime = createStoreTime(clock),
  ): Promise<RenewalResult<T>> {
    switch (decide(token, seen)) {
      case 'use':
        return { outcome: 'obtained', value: seen }
      case 'use-and-renew':
        // A failure is logged, and the next request handles it.
        if (!backingOff.get(token.key)) start(token, seen, { background: true }).result.catch(() => {})
        return { outcome: 'obtained', value: seen }
      case 'wait':
        return wait((span) => newUsable(token, seen, storeTime, span), storeTime)
      case 'ended':
        return storeTime.measure(() =>
          orUnavailable(async () => (await token.end?.(seen)) ?? { outcome: 'ended' }),
        )
    }
  }

  async function forceRenewal(token: RenewableToken<T>, seen: T, upstream: string) {
    const permitForced = () =>
      store.addMarker(`forced-renewal:${token.key}:${upstream}`, refreshBeforeExpirationMs)
    const storeTime = createStoreTime(clock)
    return wait((span) => newUsable(token, seen, storeTime, span, permitForced), storeTime)
  }

  function wait(obtain: (span: Span) => Promise<RenewalResult<T>>, storeTime: StoreTime) {
    return inRenewalSpan(tracing, 'token.wait', (span) => withinWaitLimit(obtain(span), storeTime))
  }

  function decide(token: Pick<RenewableToken<T>, 'times' | 'end'>, holder: T): RenewalDecision {
    const times = token.times(holder)
    if (!times) return 'wait'
    const decision = decideRenewal(times, refreshBeforeExpirationMs, clock.now())
    return decision === 'ended' && !token.end ? 'wait' : decision
  }

  /** A newer token that is still usable when the renewal is done. */
  async function newUsable(
    token: RenewableToken<T>,
    seen: T,
    storeTime: StoreTime,
    span: Span,
    permitForced?: Start['permitForced'],
  ): Promise<RenewalResult<T>> {
    const askedAt = clock.now()
    let result = await newer(token, seen, storeTime, span, permitForced)
    while (result.outcome === 'obtained' && hasRunOut(token, result.value, askedAt))
      result = await newer(token, result.value, storeTime, span)
    return result
  }

  /** Whether a token renewed before `askedAt` has expired since. A token renewed later is used in any case. */
  function hasRunOut(token: RenewableToken<T>, holder: T, askedAt: number): boolean {
    const renewedAt = token.times(holder)?.renewedAt
    if (renewedAt !== undefined && renewedAt >= askedAt) return false
    return decide(token, holder) === 'wait'
  }

  async function newer(
    token: RenewableToken<T>,
    seen: T,
    storeTime: StoreTime,
    span: Span,
    permitForced?: Start['permitForced'],
  ): Promise<RenewalResult<T>> {
    for (;;) {
      const joined = flights.current(token.key)
      const flight = joined ?? start(token, seen, { permitForced })
      storeTime.include(flight.storeTime)
      if (flight.span) span.link(flight.span)
      const result = await flight.result
      // A renewal that another request started may have ended with the token that this request already had.
      const isNothingNew =
        result.outcome === 'not-permitted' ||
        (result.outcome === 'obtained' && !token.isNewer(result.value, seen))
      if (!joined || !isNothingNew) return result
    }
  }

  /** Not tied to a request: a browser that disconnects does not cancel it. */
  function start(
    token: RenewableToken<T>,
    seen: T,
    { background = false, permitForced }: Start,
  ): Flight<RenewalResult<T>> {
    const { key, log } = token
    const forced = permitForced !== undefined
    let ofRenewal: Span | undefined
    const run = async (storeTime: StoreTime, span: Span): Promise<RenewalResult<T>> => {
      ofRenewal = span
      const expiresAt = isoTime(token.times(seen)?.expiresAt)
      log.debug({ event: 'token.renewal.due', expiresAt, forced, background })
      const result = await orUnavailable(() => renew(token, seen, storeTime, permitForced)).catch((error) => {
        logFailure(log, 'internal_error', error)
        throw error
      })
      if (result.outcome === 'obtained') token.onObtained?.(result.value)
      if (result.outcome === 'issuer-unavailable') backingOff.set(key, { failed: true }, result.retryInMs)
      if (result.outcome === 'store-unavailable') logFailure(log, 'store_unavailable', result.error)
      return result
    }
    const attributes = { 'bff.renewal.forced': forced, 'bff.renewal.background': background }
    const flight = flights.run(key, (storeTime) =>
      inRenewalSpan(tracing, 'token.renewal', (span) => run(storeTime, span), attributes),
    )
    return Object.assign(flight, ofRenewal && { span: ofRenewal })
  }

  async function renew(
    token: RenewableToken<T>,
    seen: T,
    storeTime: StoreTime,
    permitForced: Start['permitForced'],
  ): Promise<RenewalResult<T>> {
    const { key, lockId } = token
    const obstacle = await token.prepare?.(seen, storeTime, () => backingOff.remainingMs(key))
    if (obstacle) return obstacle
    return withRenewalLock({
      lockId,
      storeTime,
      read: token.read,
      isRenewed: (current) => token.isNewer(current, seen),
      permit: permitForced ?? (async () => true),
      grant: (current, lock) =>
        inRenewalSpan(tracing, 'token.grant', () => token.grant(current, lock, storeTime)),
    })
  }
}

async function orUnavailable<T>(operation: () => Promise<RenewalResult<T>>): Promise<RenewalResult<T>> {
  try {
    return await operation()
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error
    return { outcome: 'store-unavailable', error }
  }
}

/** The next request tries again. */
function logFailure(log: RenewalLog, reason: string, err: unknown): void {
  log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs: 0, err })
}
