import { createHash } from 'node:crypto'
import { isoTime } from '../../lib/clock.ts'
import { GatewayError } from '../errors/catalogue.ts'
import type { Issuer } from '../issuer/issuer.ts'
import {
  type AccessToken,
  accessTokenFrom,
  isAccessToken,
  type TokenParameters,
  tokenParameters,
} from '../issuer/token-set.ts'
import { type Metrics, noMetrics } from '../observability/metrics.ts'
import type { StoreTime } from '../renewal/flight.ts'
import { backOffMs } from '../renewal/policy.ts'
import type { RenewableToken, RenewalLog } from '../renewal/renewable-token.ts'
import type { Attempt, HeldLock } from '../renewal/renewal-lock.ts'
import { createRenewer, logWith, type RenewerOptions } from '../renewal/renewer.ts'
import { seal, unseal } from '../session/sealing.ts'
import type { SessionStore } from '../session-store/store.ts'
import { valueOrThrow } from './user-tokens.ts'

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
  forceRenewal(refused: RefusedToken, upstream: string, log: RenewalLog): Promise<AccessToken | undefined>
  /** Resolves when no grant is under way. */
  idle(): Promise<void>
}

export interface RefusedToken {
  accessToken: string
  parameters: TokenParameters
}

export interface ClientTokensOptions extends Omit<RenewerOptions, 'onWaiting'> {
  store: RenewerOptions['store'] & Pick<SessionStore, 'put' | 'read'>
  issuer: Pick<Issuer, 'clientId' | 'clientCredentials' | 'tokenEndpoint'>
  /** Part of the store key: gateways of other issuers may share the store. */
  issuerUrl: string
  /**
   * Part of the store key, like the issuer: a gateway that is configured otherwise would send a bound token without
   * proof. The key of such a token is stored with it, so that every process can make proofs.
   */
  dpop: boolean
  /** 32 bytes each. The first encrypts, all decrypt. */
  keys: [Buffer, ...Buffer[]]
  /** From 0 up to 1. */
  random: () => number
  /** Default: no metrics. */
  metrics?: Pick<Metrics, 'renewalDone' | 'renewalWaiters'>
}

/** Null: there is none yet. */
type ClientToken = AccessToken | null

/** How long a token without a known lifetime is stored, unless an upstream refuses it before. */
const unknownLifetimeMs = 24 * 3_600_000

export function createClientTokens(options: ClientTokensOptions): ClientTokens {
  const { store, issuer, issuerUrl, dpop, keys, clock, random, metrics = noMetrics } = options
  const renewer = createRenewer<ClientToken>({ ...options, onWaiting: metrics.renewalWaiters })
  /** Tokens in memory. Bounded by the number of upstreams with different parameters. */
  const held = new Map<string, ClientToken>()
  /** By the configuration of an upstream, which each of its requests passes. */
  const ids = new WeakMap<TokenParameters, string>()

  return {
    async usable(parameters, log) {
      const id = idOf(parameters)
      const seen = held.get(id) ?? null
      const token = valueOrThrow(await renewer.usable(tokenOf(id, parameters, log), seen))
      if (token === null) throw new GatewayError('BFF_ISSUER_UNAVAILABLE')
      return token
    },

    async forceRenewal({ accessToken, parameters }, upstream, log) {
      const id = idOf(parameters)
      const seen = held.get(id) ?? null
      // It was replaced since the request was sent.
      if (seen && seen.accessToken !== accessToken) return seen
      const result = await renewer.forceRenewal(tokenOf(id, parameters, log), seen, upstream)
      // Otherwise the browser gets the upstream's 401.
      if (result.outcome !== 'obtained' || result.value?.accessToken === accessToken) return undefined
      return result.value ?? undefined
    },

    idle: renewer.idle,
  }

  function tokenOf(
    id: string,
    parameters: TokenParameters,
    requestLog: RenewalLog,
  ): RenewableToken<ClientToken> {
    const log = logWith(requestLog, { client: issuer.clientId })
    return {
      key: id,
      lockId: id,
      log,
      // Only the client's credentials are needed.
      times: (token) => (token ? { ...token, canRenew: true, renewedAt: token.obtainedAt } : undefined),
      isNewer: (current, seen) => current !== null && current.accessToken !== seen?.accessToken,
      read: () => load(id),
      grant: (_current, lock, storeTime) => grant(id, parameters, { lock, log, storeTime }),
      onObtained: (token) => held.set(id, token),
    }
  }

  async function grant(
    id: string,
    parameters: TokenParameters,
    { lock, log, storeTime }: { lock: HeldLock; log: RenewalLog; storeTime: StoreTime },
  ): Promise<Attempt<ClientToken>> {
    const startedAt = clock.monotonic()
    const requestedAt = clock.now()
    log.debug({ event: 'token.renewal.request', tokenEndpoint: issuer.tokenEndpoint() })
    const answer = await issuer.clientCredentials(parameters)
    const tookMs = clock.monotonic() - startedAt
    if (answer.outcome !== 'granted') {
      metrics.renewalDone('failed', tookMs)
      const { reason, retryAfterMs } =
        answer.outcome === 'failed' ? answer : { reason: answer.oauthError, retryAfterMs: undefined }
      const retryInMs = backOffMs(lock.failures, random(), retryAfterMs)
      log.warn({ event: 'token.renewal.failed', reason, final: false, retryInMs })
      return { outcome: 'failed', retryInMs }
    }
    metrics.renewalDone('renewed', tookMs)
    const token = accessTokenFrom(answer.tokens, requestedAt)
    const { tokenType, expiresAt } = token
    const durationMs = Math.round(tookMs)
    log.debug({ event: 'token.renewal.done', tokenType, expiresAt: isoTime(expiresAt), durationMs })
    await storeTime.measure(() => storeForOthers(id, token, log))
    return { outcome: 'obtained', value: token }
  }

  /** If the store fails, the token is used all the same; other processes request their own. */
  async function storeForOthers(id: string, token: AccessToken, log: RenewalLog): Promise<void> {
    const ttlMs = token.expiresAt === undefined ? unknownLifetimeMs : token.expiresAt - clock.now()
    const sealed = seal(token, { key: keys[0], id, version: 1 })
    await store.put(id, sealed, ttlMs).catch((err: unknown) => {
      log.warn({ event: 'token.sharing.failed', err })
    })
  }

  async function load(id: string): Promise<ClientToken> {
    const stored = await store.read(id)
    for (const key of stored ? keys : []) {
      const token = stored && unseal(stored.sealed, { key, id, version: stored.version })
      if (isAccessToken(token)) return token
    }
    return null
  }

  /** The store key of a token. */
  function idOf(parameters: TokenParameters): string {
    const known = ids.get(parameters)
    if (known !== undefined) return known
    const name = [
      'client token',
      issuerUrl,
      issuer.clientId,
      tokenParameters(parameters),
      ...(dpop ? ['DPoP'] : []),
    ]
    const id = createHash('sha256').update(JSON.stringify(name)).digest('base64url')
    ids.set(parameters, id)
    return id
  }
}
