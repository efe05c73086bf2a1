import { createHash } from 'node:crypto'
import { GatewayError } from '../errors/catalogue.ts'
import type { Issuer } from '../issuer/issuer.ts'
import { type AccessToken, accessTokenFrom, isAccessToken } from '../issuer/token-set.ts'
import { type TokenParameters, tokenParameters } from '../issuer/token-target.ts'
import { type Metrics, noMetrics } from '../observability/metrics.ts'
import { createPatience } from '../renewal/patience.ts'
import { backOffMs, decideRenewal } from '../renewal/policy.ts'
import { atStore, createProgress, type Progress } from '../renewal/progress.ts'
import { isoTime, type RenewalLog } from '../renewal/renewal-log.ts'
import { createSingleFlight, type Flight } from '../renewal/single-flight.ts'
import {
  type Attempt,
  createTurns,
  type Holder,
  issuerUnavailable,
  type TurnOptions,
} from '../renewal/take-turns.ts'
import { seal, unseal } from '../session/sealing.ts'
import { type SessionStore, StoreUnavailableError } from '../session-store/store.ts'

/** Access tokens of the gateway's own, by client credentials: one for all users, and for all processes that share a store. */
export interface ClientTokens {
  /**
   * A token that can be sent now. Waits for the issuer only when there is none.
   * @throws GatewayError BFF_ISSUER_UNAVAILABLE
   * @throws StoreUnavailableError
   */
  usable(parameters: TokenParameters, log: RenewalLog): Promise<AccessToken>
  /**
   * After an upstream has answered 401 to a token: another one, or nothing when none can be had now. An upstream that
   * refuses every token gets one forced renewal per `refreshBeforeExpirationMs`.
   * @param upstream a name for who refused
   */
  afterRefusal(refused: Refused, upstream: string, log: RenewalLog): Promise<AccessToken | undefined>
  /** Resolves when no grant is under way. */
  idle(): Promise<void>
}

export interface Refused {
  accessToken: string
  parameters: TokenParameters
}

export interface ClientTokensOptions extends TurnOptions {
  store: Pick<SessionStore, 'put' | 'read' | 'lock' | 'changed' | 'claim'>
  issuer: Pick<Issuer, 'clientId' | 'clientCredentials' | 'tokenEndpoint'>
  /** Whose tokens they are. Others may share the store. */
  issuerUrl: string
  /** 32 bytes each. The first seals, all open. */
  keys: [Buffer, ...Buffer[]]
  refreshBeforeExpirationMs: number
  /** How long a request waits for the store, in milliseconds. Default: as long as for the issuer. */
  storeTimeoutMs?: number
  /** From 0 up to 1. */
  random: () => number
  /** Default: nobody counts. */
  metrics?: Pick<Metrics, 'renewalDone' | 'renewalWaiters'>
}

/** One that the issuer doesn't say the lifetime of is kept for so long, unless an upstream refuses it before. */
const unknownLifetimeMs = 24 * 3_600_000

export function createClientTokens(options: ClientTokensOptions): ClientTokens {
  const { store, issuer, issuerUrl, keys, clock, random, issuerTimeoutMs, refreshBeforeExpirationMs } =
    options
  const { metrics = noMetrics, storeTimeoutMs = issuerTimeoutMs } = options
  const takeTurns = createTurns(options)
  const inTime = createPatience({ clock, issuerTimeoutMs, storeTimeoutMs, metrics })
  const flights = createSingleFlight<AccessToken | undefined>(clock)
  /** As many as there are upstreams with parameters of their own. */
  const held = new Map<string, AccessToken>()

  return { usable, afterRefusal, idle: flights.idle }

  async function usable(parameters: TokenParameters, log: RenewalLog): Promise<AccessToken> {
    const token = held.get(idOf(parameters))
    switch (decide(token)) {
      case 'wait':
        return granted(await needed({ seen: token, parameters, log }))
      case 'use-and-renew':
        // What becomes of it is logged, and the next request sees it.
        renew({ seen: token, parameters, log }).result.catch(() => {})
    }
    return granted(token)
  }

  async function afterRefusal({ accessToken, parameters }: Refused, upstream: string, log: RenewalLog) {
    const id = idOf(parameters)
    const permit = () => store.claim(`forced-renewal:${id}:${upstream}`, refreshBeforeExpirationMs)
    const seen = held.get(id)
    // Replaced since the request was sent.
    if (seen && seen.accessToken !== accessToken) return seen
    try {
      const { result, progress } = renew({ seen, parameters, log, permit })
      const token = await inTime(result, progress)
      return token?.accessToken === accessToken ? undefined : token
    } catch (error) {
      // The browser gets the upstream's own answer then, which is true at least.
      if (error instanceof StoreUnavailableError || error instanceof GatewayError) return undefined
      throw error
    }
  }

  function decide(token: AccessToken | undefined) {
    if (!token) return 'wait'
    // It takes no more than the client's credentials.
    return decideRenewal({ ...token, refreshToken: issuer.clientId }, refreshBeforeExpirationMs, clock.now())
  }

  interface Wanted {
    seen: AccessToken | undefined
    parameters: TokenParameters
    log: RenewalLog
    permit?: () => Promise<boolean>
  }

  /** A forced renewal that this one has joined may not have been permitted. */
  function needed(wanted: Wanted): Promise<AccessToken | undefined> {
    const progress = createProgress(clock)
    const once = () => {
      const flight = renew(wanted)
      progress.follow(flight.progress)
      return flight.result
    }
    return inTime(
      once().then((token) => token ?? once()),
      progress,
    )
  }

  /** Runs on nobody's request: a browser that goes away does not cancel it. */
  function renew({
    seen,
    parameters,
    log,
    permit = async () => true,
  }: Wanted): Flight<AccessToken | undefined> {
    const id = idOf(parameters)
    return flights.run(id, async (progress) => {
      const token = await takeTurns<AccessToken | undefined>({
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
    { failures }: Holder,
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
    await atStore(progress, () => share(id, token, log))
    return { outcome: 'renewed', value: token }
  }

  /** A token that can't be shared is as good: other processes ask for their own. */
  async function share(id: string, token: AccessToken, log: RenewalLog): Promise<void> {
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

  /** Under which the store keeps a token. */
  function idOf(parameters: TokenParameters): string {
    const name = ['client token', issuerUrl, issuer.clientId, tokenParameters(parameters)]
    return createHash('sha256').update(JSON.stringify(name)).digest('base64url')
  }
}

function granted(token: AccessToken | undefined): AccessToken {
  if (!token) throw issuerUnavailable(1000)
  return token
}
