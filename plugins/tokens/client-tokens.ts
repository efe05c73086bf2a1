import { createHash } from 'node:crypto'
import { GatewayError } from '../errors/catalogue.ts'
import type { Issuer } from '../issuer/issuer.ts'
import { type AccessToken, accessTokenFrom, isAccessToken } from '../issuer/token-set.ts'
import { type TokenParameters, tokenParameters } from '../issuer/token-target.ts'
import { type Metrics, noMetrics } from '../observability/metrics.ts'
import { backOffMs, decideRenewal } from '../renewal/policy.ts'
import { atStore, createProgress, type Progress } from '../renewal/progress.ts'
import {
  type Attempt,
  createRenewalLock,
  issuerUnavailable,
  type LockHolder,
  type RenewalLockOptions,
} from '../renewal/renewal-lock.ts'
import { isoTime, type RenewalLog } from '../renewal/renewal-log.ts'
import { createSingleFlight, type Flight } from '../renewal/single-flight.ts'
import { createWaitLimit } from '../renewal/wait-limit.ts'
import { seal, unseal } from '../session/sealing.ts'
import { type SessionStore, StoreUnavailableError } from '../session-store/store.ts'

/**
 * Access tokens of the gateway's own, by client credentials: one for all users, and for all processes that share a
 * store.
 */
export interface ClientTokens {
  /**
   * A token that can be sent now. Waits for the issuer only if there is none.
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE
   * @throws StoreUnavailableError
   */
  usable(parameters: TokenParameters, log: RenewalLog): Promise<AccessToken>
  /**
   * After an upstream has answered 401 to a token: another one, or undefined if there is none now. At most one forced
   * renewal per upstream and `refreshBeforeExpirationMs`, for upstreams that refuse every token.
   * @param upstream name of the upstream, for the limit of forced renewals
   */
  afterRefusal(refused: Refused, upstream: string, log: RenewalLog): Promise<AccessToken | undefined>
  /** Resolves when no grant is under way. */
  idle(): Promise<void>
}

export interface Refused {
  accessToken: string
  parameters: TokenParameters
}

export interface ClientTokensOptions extends RenewalLockOptions {
  store: Pick<SessionStore, 'put' | 'read' | 'lock' | 'changed' | 'claim'>
  issuer: Pick<Issuer, 'clientId' | 'clientCredentials' | 'tokenEndpoint'>
  /** Part of the store key: gateways of other issuers may share the store. */
  issuerUrl: string
  /** 32 bytes each. The first encrypts, all decrypt. */
  keys: [Buffer, ...Buffer[]]
  refreshBeforeExpirationMs: number
  /** How long a request waits for the store, in milliseconds. Default: as long as for the issuer. */
  storeTimeoutMs?: number
  /** From 0 up to 1. */
  random: () => number
  /** Default: no metrics. */
  metrics?: Pick<Metrics, 'renewalDone' | 'renewalWaiters'>
}

/** How long a token without a known lifetime is stored, unless an upstream refuses it before. */
const unknownLifetimeMs = 24 * 3_600_000

export function createClientTokens(options: ClientTokensOptions): ClientTokens {
  const { store, issuer, issuerUrl, keys, clock, random, issuerTimeoutMs, refreshBeforeExpirationMs } =
    options
  const { metrics = noMetrics, storeTimeoutMs = issuerTimeoutMs } = options
  const withRenewalLock = createRenewalLock(options)
  const withinWaitLimit = createWaitLimit({ clock, issuerTimeoutMs, storeTimeoutMs, metrics })
  const flights = createSingleFlight<AccessToken | undefined>(clock)
  /** Tokens in memory. Bounded by the number of upstreams with different parameters. */
  const held = new Map<string, AccessToken>()

  return { usable, afterRefusal, idle: flights.idle }

  async function usable(parameters: TokenParameters, log: RenewalLog): Promise<AccessToken> {
    const token = held.get(idOf(parameters))
    switch (decide(token)) {
      case 'wait':
        return tokenOrThrow(await requireToken({ seen: token, parameters, log }))
      case 'use-and-renew':
        // A failure is logged, and the next request handles it.
        renew({ seen: token, parameters, log }).result.catch(() => {})
    }
    return tokenOrThrow(token)
  }

  async function afterRefusal({ accessToken, parameters }: Refused, upstream: string, log: RenewalLog) {
    const id = idOf(parameters)
    const permit = () => store.claim(`forced-renewal:${id}:${upstream}`, refreshBeforeExpirationMs)
    const seen = held.get(id)
    // It was replaced since the request was sent.
    if (seen && seen.accessToken !== accessToken) return seen
    try {
      const { result, progress } = renew({ seen, parameters, log, permit })
      const token = await withinWaitLimit(result, progress)
      return token?.accessToken === accessToken ? undefined : token
    } catch (error) {
      // The browser then gets the upstream's 401.
      if (error instanceof StoreUnavailableError || error instanceof GatewayError) return undefined
      throw error
    }
  }

  function decide(token: AccessToken | undefined) {
    if (!token) return 'wait'
    // Renewing needs only the client's credentials, so any value stands in for the refresh token.
    return decideRenewal({ ...token, refreshToken: issuer.clientId }, refreshBeforeExpirationMs, clock.now())
  }

  interface Wanted {
    seen: AccessToken | undefined
    parameters: TokenParameters
    log: RenewalLog
    permit?: () => Promise<boolean>
  }

  /** Tries twice: the first renewal may be a shared forced one that was not permitted. */
  function requireToken(wanted: Wanted): Promise<AccessToken | undefined> {
    const progress = createProgress(clock)
    const runOnce = () => {
      const flight = renew(wanted)
      progress.follow(flight.progress)
      return flight.result
    }
    return withinWaitLimit(
      runOnce().then((token) => token ?? runOnce()),
      progress,
    )
  }

  /** Not tied to a request: a browser that disconnects does not cancel it. */
  function renew({
    seen,
    parameters,
    log,
    permit = async () => true,
  }: Wanted): Flight<AccessToken | undefined> {
    const id = idOf(parameters)
    return flights.run(id, async (progress) => {
      const token = await withRenewalLock<AccessToken | undefined>({
        id,
        progress,
        read: () => load(id),
        isRenewed: (current) => current?.accessToken !== seen?.accessToken && decide(current) !== 'wait',
        permit,
        grant: (_current, holder) => grant(id, parameters, holder, { log, progress }),
      })
      if (token) held.set(id, token)
      return token
    })
  }

  async function grant(
    id: string,
    parameters: TokenParameters,
    { failures }: LockHolder,
    { log, progress }: { log: RenewalLog; progress: Progress },
  ): Promise<Attempt<AccessToken>> {
    const startedAt = clock.monotonic()
    const requestedAt = clock.now()
    log.debug({
      event: 'token.renewal.request',
      tokenEndpoint: issuer.tokenEndpoint(),
      client: issuer.clientId,
    })
    const answer = await issuer.clientCredentials(parameters)
    const tookMs = clock.monotonic() - startedAt
    if (answer.outcome !== 'granted') {
      metrics.renewalDone('failed', tookMs)
      const { reason, retryAfterMs } =
        answer.outcome === 'failed' ? answer : { reason: answer.oauthError, retryAfterMs: undefined }
      const retryInMs = backOffMs(failures, random(), retryAfterMs)
      log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs, client: issuer.clientId })
      return { outcome: 'failed', retryInMs }
    }
    metrics.renewalDone('renewed', tookMs)
    const token = accessTokenFrom(answer.tokens, requestedAt)
    const { tokenType, expiresAt } = token
    const fields = { tokenType, expiresAt: isoTime(expiresAt), durationMs: Math.round(tookMs) }
    log.debug({ event: 'token.renewal.done', ...fields, client: issuer.clientId })
    await atStore(progress, () => storeForOthers(id, token, log))
    return { outcome: 'renewed', value: token }
  }

  /** If the store fails, the token is used all the same; other processes request their own. */
  async function storeForOthers(id: string, token: AccessToken, log: RenewalLog): Promise<void> {
    const ttlMs = token.expiresAt === undefined ? unknownLifetimeMs : token.expiresAt - clock.now()
    const sealed = seal(token, { key: keys[0], id, version: 1 })
    await store.put(id, sealed, ttlMs).catch((err: unknown) => {
      log.warn({ event: 'token.sharing.failed', err })
    })
  }

  async function load(id: string): Promise<AccessToken | undefined> {
    const stored = await store.read(id)
    if (!stored) return undefined
    for (const key of keys) {
      const token = unseal(stored.sealed, { key, id, version: stored.version })
      if (isAccessToken(token)) return token
    }
    return undefined
  }

  /** The store key of a token. */
  function idOf(parameters: TokenParameters): string {
    const name = ['client token', issuerUrl, issuer.clientId, tokenParameters(parameters)]
    return createHash('sha256').update(JSON.stringify(name)).digest('base64url')
  }
}

function tokenOrThrow(token: AccessToken | undefined): AccessToken {
  if (!token) throw issuerUnavailable(1000)
  return token
}
