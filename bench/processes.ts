import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { type DemoIssuer, startIssuer } from '../demo/issuer.ts'
import { freePort } from '../test/support/free-port.ts'
import { startHaproxy } from '../test/support/haproxy.ts'
import { type RedisServer, startRedis } from '../test/support/redis.ts'
import { until } from '../test/support/until.ts'
import { pin } from './cores.ts'
import { withEnding } from './ending.ts'
import { openLoad } from './load.ts'
import { type RawApi, startRawApi } from './raw-api.ts'
import { report } from './report.ts'
import { type Subject, startSubject } from './subject.ts'

const counts = [1, 2, 4]
const connections = 64
const sessions = 256
const requests = 20_000
const logins = 40
const body = Buffer.alloc(120, '{"time":0}')

interface Surroundings {
  api: RawApi
  issuer: DemoIssuer
  redis: RedisServer
}

/**
 * What more gateways on one machine bring: processes that share one Redis, behind HAProxy with deploy/haproxy.cfg. A
 * process uses one core, so processor time per request says what a core does, even where there are fewer cores.
 */
export async function processes({ json }: { json: boolean }): Promise<void> {
  await withEnding(async ({ after }) => {
    const api = await startRawApi({ bodies: { '/small': body }, needsToken: true })
    after(api.close)
    const issuer = await startIssuer({ accessTokenLifetime: 3600 })
    after(issuer.close)
    const redis = await startRedis()
    after(redis.close)
    const rows: object[] = []
    for (const count of counts) rows.push(await measure(count, { api, issuer, redis }))
    if (!json) console.log(`On a machine with ${availableParallelism()} cores\n`)
    report(rows, json)
  })
}

async function measure(count: number, surroundings: Surroundings): Promise<object> {
  return withEnding(async ({ after }) => {
    const port = await freePort()
    const gateways = await startGateways(count, `http://localhost:${port}`, surroundings)
    after(() => Promise.all(gateways.map((gateway) => gateway.end())))
    const ports = gateways.map((gateway) => gateway.port)
    const balancer = startHaproxy(port, ports)
    after(balancer.close)
    await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok)

    const cookies = gateways.flatMap((gateway) => gateway.cookies)
    const load = await openLoad(port, connections, cookies)
    after(async () => load.close())
    await load.run('/api/small', body, requests / 2)
    const before = [await cpuOf(gateways), cpuOfProcess(balancer.pid)] as const
    const startedAt = performance.now()
    await load.run('/api/small', body, requests)
    const seconds = (performance.now() - startedAt) / 1000
    const cpu = (await cpuOf(gateways)) - before[0]
    const balancerCpu = cpuOfProcess(balancer.pid) - before[1]

    const beforeLogins = await cpuOf(gateways)
    for (let i = 0; i < logins; i++)
      await createHttpBrowser().signIn(`http://localhost:${port}`, i % 2 === 0 ? 'alice' : 'bob')
    const loginCpu = (await cpuOf(gateways)) - beforeLogins
    return {
      processes: count,
      'requests/s': Math.round(requests / seconds),
      'CPU µs per request': Math.round(cpu / requests),
      'requests/s per core': Math.round(1e6 / (cpu / requests)),
      "HAProxy's CPU µs per request": Math.round(balancerCpu / requests),
      'logins/s per core': Math.round(1e6 / (loginCpu / logins)),
    }
  })
}

/** The load, the API, the issuer and Redis have the first core; the gateways share the others, in turn. */
async function startGateways(
  count: number,
  publicUrl: string,
  { api, issuer, redis }: Surroundings,
): Promise<Subject[]> {
  issuer.allowGateway(publicUrl)
  const gateway = {
    PUBLIC_URL: publicUrl,
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    SESSION_KEYS: Buffer.alloc(32, 'a key for benchmarks').toString('base64'),
    REDIS_URL: redis.url,
    TRUST_PROXY: '1',
  }
  const settings = { apiUrl: api.url, logLevel: 'warn', gateway, neverOverloaded: true }
  const started: Subject[] = []
  for (let i = 0; i < count; i++) {
    const own = await startSubject(`Gateway ${i}`, { ...settings, sessions: sessions / count })
    pin(own.pid, 1 + (i % Math.max(1, availableParallelism() - 1)))
    started.push(own)
  }
  return started
}

async function cpuOf(gateways: Subject[]): Promise<number> {
  const usages = await Promise.all(gateways.map((gateway) => gateway.usage()))
  return usages.reduce((sum, { cpu }) => sum + cpu, 0)
}

/** Processor time of another process in microseconds (Linux). */
function cpuOfProcess(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // In hundredths of a second.
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}
