import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { Pool } from 'undici'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { type DemoIssuer, startIssuer } from '../demo/issuer.ts'
import { startTimeApi } from '../demo/time-api.ts'
import { type Ending, type Gateway, startGateway } from '../test/support/gateway-process.ts'
import { startRedis } from '../test/support/redis.ts'
import { withEnding } from './ending.ts'
import { type Latencies, latencies, median } from './latencies.ts'
import { report } from './report.ts'

const processes = 4
const sessions = 200
const requestsPerSession = 20
/** Seconds. Long enough for all to sign in and send requests while their tokens are fresh. */
const accessTokenLifetime = 60
const windowSeconds = accessTokenLifetime / 2
/** Fresh tokens and renewals in turn, since a machine has its moods. */
const rounds = 3
const [fresh, inWindow] = ['fresh tokens', 'inside the window']

/** One signed-in browser. */
interface User {
  name: string
  cookie: string
  signedInAt: number
}

/**
 * Every session sends its requests at the same moment, over four processes: with fresh tokens, inside the renewal
 * window, and when all tokens have expired. Counts the grants, and measures the requests' latencies.
 */
export async function storm({ json }: { json: boolean }): Promise<void> {
  await withEnding(async (ending) => {
    const redis = await startRedis()
    ending.after(redis.close)
    const issuer = await startIssuer({ apiAudience: 'urn:bench:api', accessTokenLifetime })
    ending.after(issuer.close)
    const api = await startTimeApi({ issuer: issuer.issuer, audience: 'urn:bench:api' })
    ending.after(api.close)
    const gateways = await startGateways(ending, { issuer, apiUrl: api.url, redisUrl: redis.url })
    const users = await signIn(gateways)
    if (!json)
      console.log(
        `${sessions} sessions x ${requestsPerSession} parallel requests over ${processes} processes\n`,
      )

    const phases: Phase[] = []
    const failures: string[] = []
    // Renewals in the background end a moment after the requests that began them.
    const settle = () =>
      Promise.all(users.map((user, i) => renewals(gateways[i % processes] as Gateway, user)))
    const measure = async (title: string, expectedGrants: number) => {
      const before = issuer.events.refreshGrants().length
      const { samples, failures: failed } = await ask(gateways, users)
      failures.push(...failed)
      await settle()
      const grants = issuer.events.refreshGrants().slice(before)
      phases.push({
        title,
        grants: grants.length,
        expectedGrants,
        failures: failed.length,
        ...latencies(samples),
      })
    }
    // Renews all, so that they are of the same age: signing in took its time.
    await untilSecond(users, windowSeconds + 1)
    let renewedFrom = performance.now()
    await ask(gateways, users)
    await settle()
    let renewedBy = performance.now()
    const windowMs = windowSeconds * 1000
    for (let round = 0; round < rounds; round++) {
      await measure(fresh, 0)
      if (performance.now() > renewedFrom + windowMs)
        throw new Error('The machine is too slow: tokens are no longer fresh')
      await wait(Math.max(0, renewedBy + windowMs + 1000 - performance.now()))
      renewedFrom = performance.now()
      await measure(inWindow, sessions)
      renewedBy = performance.now()
    }
    await wait((accessTokenLifetime + 1) * 1000)
    await measure('all tokens expired', sessions)

    report(rowsOf(phases), json)
    for (const failure of new Set(failures)) console.error(failure)
    const spent = issuer.events.refreshGrants()
    assert.equal(new Set(spent.map(({ refreshTokenHash }) => refreshTokenHash)).size, spent.length)
    for (const { title, grants, expectedGrants, failures } of phases) {
      assert.deepEqual({ title, grants, failures }, { title, grants: expectedGrants, failures: 0 })
    }
  })
}

interface Phase extends Latencies {
  title: string
  grants: number
  expectedGrants: number
  failures: number
}

function startGateways(
  ending: Ending,
  options: { issuer: DemoIssuer; apiUrl: string; redisUrl: string },
): Promise<Gateway[]> {
  const env = { LOG_LEVEL: 'info', REFRESH_BEFORE_EXPIRATION: `${windowSeconds}s` }
  return Promise.all(Array.from({ length: processes }, () => startGateway(ending, { ...options, env })))
}

async function signIn(gateways: Gateway[]): Promise<User[]> {
  const users: User[] = []
  const queue = Array.from({ length: sessions }, (_, i) => i)
  const work = async () => {
    for (let i = queue.shift(); i !== undefined; i = queue.shift()) {
      const gateway = gateways[i % processes] as Gateway
      const browser = createHttpBrowser()
      const name = i % 2 === 0 ? 'alice' : 'bob'
      await browser.signIn(gateway.url, name)
      const cookie = browser.cookies.headerFor(new URL(gateway.url)) ?? ''
      users.push({ name, cookie, signedInAt: Date.now() })
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
  return users
}

async function ask(gateways: Gateway[], users: User[]): Promise<{ samples: number[]; failures: string[] }> {
  const pools = gateways.map(({ url }) => new Pool(url, { connections: 250 }))
  const samples: number[] = []
  const failures: string[] = []
  const one = async (pool: Pool, { name, cookie }: User) => {
    const startedAt = performance.now()
    const headers = { cookie, 'x-csrf': '1' }
    try {
      const { statusCode, body } = await pool.request({ method: 'GET', path: '/api/gettime', headers })
      const text = await body.text()
      samples.push(performance.now() - startedAt)
      if (statusCode !== 200) failures.push(`Answered ${statusCode}: ${text}`)
      else if ((JSON.parse(text) as { user?: string }).user !== name) failures.push("Another user's answer")
    } catch (error) {
      failures.push(String(error))
    }
  }
  await Promise.all(
    users.flatMap((user) =>
      Array.from({ length: requestsPerSession }, (_, i) => one(pools[i % processes] as Pool, user)),
    ),
  )
  await Promise.all(pools.map((pool) => pool.close()))
  return { samples, failures }
}

/** Resolves when the session has been read, after all pending writes. */
async function renewals(gateway: Gateway, { cookie }: User): Promise<number> {
  const response = await fetch(`${gateway.url}/bff/session`, { headers: { cookie, 'x-csrf': '1' } })
  const view = (await response.json()) as { accessToken: { renewals: number } }
  return view.accessToken.renewals
}

/** Resolves when every session's token is this old. */
async function untilSecond(users: User[], seconds: number): Promise<void> {
  const latest = Math.max(...users.map(({ signedInAt }) => signedInAt))
  await wait(Math.max(0, latest + seconds * 1000 - Date.now()))
}

function rowsOf(phases: Phase[]): object[] {
  const p99s = (wanted: string) => phases.filter(({ title }) => title === wanted).map(({ p99 }) => p99)
  const freshOnes = p99s(fresh)
  return [...new Set(phases.map(({ title }) => title))].map((title) => {
    const ofTitle = phases.filter((phase) => phase.title === title)
    const all = (what: 'count' | 'failures' | 'grants' | 'p50' | 'p99' | 'max') =>
      ofTitle.map((phase) => phase[what])
    const sum = (numbers: number[]) => numbers.reduce((total, each) => total + each, 0)
    // Round by round, since a machine's moods last longer than a round.
    const ratios = p99s(title).map((p99, round) => p99 / (freshOnes[round] ?? Number.NaN))
    return {
      '': title,
      rounds: ofTitle.length,
      requests: sum(all('count')),
      failures: sum(all('failures')),
      'grants per session and round': sum(all('grants')) / sessions / ofTitle.length,
      'p50 ms': Math.round(median(all('p50'))),
      'p99 ms': Math.round(median(all('p99'))),
      'max ms': Math.round(Math.max(...all('max'))),
      'p99 to that of fresh tokens': median(ratios).toFixed(2),
    }
  })
}
