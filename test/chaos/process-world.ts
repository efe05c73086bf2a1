import assert from 'node:assert/strict'
import { type Answer, createHttpBrowser, type HttpBrowser } from '../../demo/http-browser.ts'
import { startTimeApi, type TimeApi } from '../../demo/time-api.ts'
import type { Ending, Environment, Gateway, GatewayOptions } from '../support/gateway-process.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { giveUpMs } from '../support/until.ts'
import { type OpenStore, openStore, type StoredSession } from './stored-session.ts'
import { type Lineage, startUnrulyIssuer, type UnrulyIssuer } from './unruly-issuer.ts'

/** The default, so that a busy machine does not look like an issuer that is down. */
export const issuerTimeoutMs = 5000
export const lockMs = 3 * issuerTimeoutMs
export const longestGrantMs = 2.5 * issuerTimeoutMs

/** How much a busy machine may add to a promised time. */
export const marginMs = 30_000

/** How long a request waits for Redis: the default. */
export const storeTimeoutMs = 5000

/** Remaining lifetimes of an access token: the renewal window is a minute, and a token with less than 5 s is not sent. */
export const inWindowMs = 50_000
export const expiredMs = 0

/** Several gateways in separate processes, with one Redis. */
export interface World {
  issuer: UnrulyIssuer
  timeApi: TimeApi
  redis: RedisServer
  /** The gateways' store, over a separate connection. */
  store: OpenStore
  gateways: Gateway[]
  /** Starts one more, for example as a replacement. */
  startGateway(): Promise<Gateway>
  /** A new session in a separate browser. */
  signIn(user?: string, at?: Gateway): Promise<SignedIn>
  close(): Promise<void>
}

export interface SignedIn {
  user: string
  browser: HttpBrowser
  /** Its refresh tokens at the issuer. */
  lineage: Lineage
  stored: StoredSession
  /** Calls like the frontend's script. */
  call(gateway: Gateway, options?: { path?: string; signal?: AbortSignal }): Promise<TimedAnswer>
  /** This many parallel calls to each of the gateways. */
  storm(gateways: Gateway[], each: number): Promise<TimedAnswer[]>
}

export interface TimedAnswer extends Answer {
  tookMs: number
}

export interface WorldOptions {
  gateways?: number
  /** Seconds. Default ten minutes, so that the API accepts tokens that a test has aged. */
  accessTokenLifetime?: number
  env?: Environment
  /** The `REDIS_URL` of the gateways, given the server. */
  redisUrlFor?: (redis: RedisServer) => string | Promise<string>
}

export type StartGateway = (t: Ending, options: GatewayOptions) => Promise<Gateway>

/** Tests use `startWorld` of world.ts, which also checks the logs for leaks. */
export async function startWorldOf(startGateway: StartGateway, options: WorldOptions = {}): Promise<World> {
  const endings: (() => Promise<unknown>)[] = []
  const t: Ending = { after: (end) => void endings.push(end) }
  const services: { close(): Promise<void> }[] = []
  const close = async () => {
    await Promise.all(endings.splice(0).map((end) => end()))
    for (const service of services.splice(0).reverse()) await service.close()
  }
  try {
    return await start(startGateway, options, { t, services, close })
  } catch (error) {
    // Anything still running would keep the test file from ending.
    await close()
    throw error
  }
}

interface Started {
  /** Ends the gateways. */
  t: Ending
  /** Ends what they use, listed in the order of the start. */
  services: { close(): Promise<void> }[]
  close(): Promise<void>
}

async function start(
  startGateway: StartGateway,
  options: WorldOptions,
  { t, services, close }: Started,
): Promise<World> {
  const apiAudience = 'urn:time-api'
  const redis = await startRedis()
  services.push(redis)
  const issuer = await startUnrulyIssuer({
    apiAudience,
    accessTokenLifetime: options.accessTokenLifetime ?? 600,
  })
  services.push(issuer)
  const timeApi = await startTimeApi({ issuer: issuer.issuer, audience: apiAudience })
  services.push(timeApi)
  const store = await openStore(redis.url)
  services.push(store)
  const redisUrl = (await options.redisUrlFor?.(redis)) ?? redis.url

  const startOne = () =>
    startGateway(t, {
      issuer,
      apiUrl: timeApi.url,
      redisUrl,
      env: {
        OIDC_TIMEOUT: `${issuerTimeoutMs}ms`,
        STORE_TIMEOUT: `${storeTimeoutMs}ms`,
        ...options.env,
      },
    })
  const gateways = await Promise.all(Array.from({ length: options.gateways ?? 4 }, startOne))
  let signingIn: Promise<unknown> = Promise.resolve()
  let apiHasKeys = false

  async function signIn(user: string, at: Gateway | undefined): Promise<SignedIn> {
    assert.ok(at)
    const browser = createHttpBrowser({ timeoutMs: giveUpMs })
    await browser.signIn(at.url, user)
    const lineage = issuer.lineages.at(-1)
    assert.ok(lineage, 'The login brought no refresh token')
    const call: SignedIn['call'] = (target, request) => timedCall(browser, target, request)
    // The API fetches the issuer's keys for its first request. A storm of first requests could be too much for that.
    if (!apiHasKeys) apiHasKeys = (await call(at)).status === 200
    return {
      user,
      browser,
      lineage,
      stored: await store.sessionOf(browser),
      call,
      storm: (targets, each) =>
        Promise.all(targets.flatMap((target) => Array.from({ length: each }, () => call(target)))),
    }
  }

  return {
    issuer,
    timeApi,
    redis,
    store,
    gateways,
    startGateway: startOne,
    signIn(user = 'alice', at = gateways[0]) {
      // One after the other, to know which refresh tokens belong to which session.
      const signedIn = signingIn.then(() => signIn(user, at))
      signingIn = signedIn.catch(() => {})
      return signedIn
    },
    close,
  }
}

async function timedCall(
  browser: HttpBrowser,
  { url }: Gateway,
  { path = '/api/gettime', signal }: { path?: string; signal?: AbortSignal } = {},
): Promise<TimedAnswer> {
  const startedAt = performance.now()
  const request = { headers: { 'x-csrf': '1' }, ...(signal && { signal }) }
  const answer = await browser.fetch(url + path, request)
  return { ...answer, tookMs: Math.round(performance.now() - startedAt) }
}
