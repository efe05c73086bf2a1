import assert from 'node:assert/strict'
import { type Answer, createHttpBrowser, type HttpBrowser } from '../../demo/http-browser.ts'
import { startTimeApi, type TimeApi } from '../../demo/time-api.ts'
import type { Ending, Environment, Gateway, GatewayOptions } from '../support/gateway-process.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { type OpenStore, openStore, type StoredSession } from './stored-session.ts'
import { type Lineage, startUnrulyIssuer, type UnrulyIssuer } from './unruly-issuer.ts'

/** Short, so that a lock lapses after three seconds and a grant is given up after two and a half. */
export const issuerTimeoutMs = 1000
export const lockMs = 3 * issuerTimeoutMs

/** What a busy machine may add to a time that is promised. */
export const marginMs = 15_000

/** For so long a request waits for Redis. */
export const storeTimeoutMs = 500

/** Times that an access token has left, of a minute: the window has 30 s, and less than 5 s are of no use. */
export const inWindowMs = 20_000
export const expiredMs = 0

/** Several gateways, each a process of its own, on one Redis. */
export interface World {
  issuer: UnrulyIssuer
  timeApi: TimeApi
  redis: RedisServer
  /** The gateways' store, by a way of its own. */
  store: OpenStore
  gateways: Gateway[]
  /** One more, in the place of one that ended say. */
  startGateway(): Promise<Gateway>
  /** A new session in a browser of its own. */
  signIn(user?: string, at?: Gateway): Promise<SignedIn>
  close(): Promise<void>
}

export interface SignedIn {
  user: string
  browser: HttpBrowser
  /** Its refresh tokens at the issuer. */
  lineage: Lineage
  stored: StoredSession
  /** As the frontend's script does. */
  call(gateway: Gateway, options?: { path?: string; signal?: AbortSignal }): Promise<TimedAnswer>
  /** So many calls to each of the gateways, all at once. */
  storm(gateways: Gateway[], each: number): Promise<TimedAnswer[]>
}

export interface TimedAnswer extends Answer {
  tookMs: number
}

export interface WorldOptions {
  gateways?: number
  /** Seconds. Default a minute, so that the API takes tokens that a test has made look old. */
  accessTokenLifetime?: number
  env?: Environment
  /** Where the gateways find Redis, given where it really is. */
  redisUrlFor?: (redis: RedisServer) => string | Promise<string>
}

export type StartGateway = (t: Ending, options: GatewayOptions) => Promise<Gateway>

/** For tests `startWorld` of world.ts, which also watches what is logged. */
export async function startWorldOf(startGateway: StartGateway, options: WorldOptions = {}): Promise<World> {
  const endings: (() => Promise<unknown>)[] = []
  const t: Ending = { after: (end) => void endings.push(end) }
  const apiAudience = 'urn:time-api'
  const [redis, issuer] = await Promise.all([
    startRedis(),
    startUnrulyIssuer({ apiAudience, accessTokenLifetime: options.accessTokenLifetime ?? 60 }),
  ])
  const timeApi = await startTimeApi({ issuer: issuer.issuer, audience: apiAudience })
  const store = await openStore(redis.url)
  const redisUrl = (await options.redisUrlFor?.(redis)) ?? redis.url

  const start = () =>
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
  const gateways = await Promise.all(Array.from({ length: options.gateways ?? 4 }, start))
  let signingIn: Promise<unknown> = Promise.resolve()

  async function signIn(user: string, at: Gateway | undefined): Promise<SignedIn> {
    assert.ok(at)
    const browser = createHttpBrowser()
    await browser.signIn(at.url, user)
    const lineage = issuer.lineages.at(-1)
    assert.ok(lineage, 'The login brought no refresh token')
    const call: SignedIn['call'] = (target, request) => timedCall(browser, target, request)
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
    startGateway: start,
    signIn(user = 'alice', at = gateways[0]) {
      // One after the other, or it could not be told whose refresh tokens are whose.
      const signedIn = signingIn.then(() => signIn(user, at))
      signingIn = signedIn.catch(() => {})
      return signedIn
    },
    async close() {
      await Promise.all(endings.map((end) => end()))
      await store.close()
      await Promise.all([timeApi.close(), issuer.close(), redis.close()])
    },
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
