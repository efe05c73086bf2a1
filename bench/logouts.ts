import { setTimeout as wait } from 'node:timers/promises'
import { Pool } from 'undici'
import { createHttpBrowser, type HttpBrowser } from '../demo/http-browser.ts'
import { startIssuer } from '../demo/issuer.ts'
import { type Gateway, startGateway } from '../test/support/gateway-process.ts'
import { type RedisServer, startRedis } from '../test/support/redis.ts'
import { withEnding } from './ending.ts'
import { latencies } from './latencies.ts'
import { startRawApi } from './raw-api.ts'
import { report } from './report.ts'

const processes = 4
const logouts = 25

/** A gateway that serves an ended session for longer than this breaks its promise. */
const giveUpMs = 5000

/** What is done to Redis before each logout. */
const situations: Record<string, (redis: RedisServer) => unknown> = {
  healthy: () => {},
  'subscriptions cut': (redis) => redis.send('CLIENT KILL TYPE pubsub'),
  'announcements refused': (redis) => redis.send('ACL SETUSER default resetchannels'),
}

/**
 * How long after a logout the other processes go on serving the session, which each has at hand: from the answer to the
 * logout until the last request that is still served.
 */
export async function logoutsElsewhere({ json }: { json: boolean }): Promise<void> {
  await withEnding(async ({ after }) => {
    const redis = await startRedis()
    after(redis.close)
    const issuer = await startIssuer({ accessTokenLifetime: 3600 })
    after(issuer.close)
    const api = await startRawApi({ bodies: { '/': Buffer.from('{}') }, needsToken: true })
    after(api.close)
    const options = { issuer, apiUrl: api.url, redisUrl: redis.url, env: { LOG_LEVEL: 'info' } }
    const gateways = await Promise.all(
      Array.from({ length: processes }, () => startGateway({ after }, options)),
    )
    const pools = gateways.map(({ url }) => new Pool(url))
    after(() => Promise.all(pools.map((pool) => pool.destroy())))

    const rows = []
    for (const [situation, prepare] of Object.entries(situations)) {
      const samples: number[] = []
      for (let i = 0; i < logouts; i++) {
        const browser = createHttpBrowser()
        const at = gateways[i % processes] as Gateway
        await browser.signIn(at.url, 'alice')
        const others = pools.filter((_, index) => index !== i % processes)
        samples.push(...(await servedAfterLogout(browser, at, others, () => prepare(redis))))
      }
      await redis.send('ACL SETUSER default allchannels')
      // Subscriptions are made anew.
      await wait(2500)
      const { count, p50, p99, max } = latencies(samples)
      const ms = { 'p50 ms': p50.toFixed(1), 'p99 ms': p99.toFixed(1), 'max ms': max.toFixed(1) }
      rows.push({ '': situation, logouts, 'felt by': count, ...ms })
    }
    report(rows, json)
  })
}

/** Milliseconds for each of the other processes; 0 if it served nothing after the logout was answered. */
async function servedAfterLogout(
  browser: HttpBrowser,
  { url }: Gateway,
  others: Pool[],
  prepare: () => unknown,
): Promise<number[]> {
  const headers = { cookie: browser.cookies.headerFor(new URL(url)) ?? '', 'x-csrf': '1' }
  const ask = async (pool: Pool): Promise<number> => {
    const { statusCode, body } = await pool.request({ method: 'GET', path: '/api/', headers })
    await body.dump()
    return statusCode
  }
  for (const pool of others) {
    if ((await ask(pool)) !== 200) throw new Error('A new session is not served')
  }
  await prepare()
  let loggedOutAt = Number.POSITIVE_INFINITY
  const watching = others.map(async (pool) => {
    let servedAt = 0
    while ((await ask(pool)) === 200) {
      servedAt = performance.now()
      if (servedAt > loggedOutAt + giveUpMs) throw new Error(`Served ${giveUpMs} ms after the logout`)
      await wait(2)
    }
    return servedAt
  })
  const { status } = await browser.fetch(`${url}/bff/logout`)
  loggedOutAt = performance.now()
  if (status !== 302) throw new Error(`The logout was answered ${status}`)
  return (await Promise.all(watching)).map((servedAt) => Math.max(0, servedAt - loggedOutAt))
}
