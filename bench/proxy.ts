import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { Pool } from 'undici'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { type DemoIssuer, startIssuer } from '../demo/issuer.ts'
import { listen, stop } from '../demo/listen.ts'
import { freePort } from '../test/support/free-port.ts'
import { startRedis } from '../test/support/redis.ts'
import { withEnding } from './ending.ts'
import { median } from './latencies.ts'
import type { ProxyServer } from './proxy-server.ts'

const warmUpRounds = 8
const rounds = 24
const requestsPerRound = 600
const parallel = 16

type Kind = 'bare @fastify/http-proxy' | 'fastify-bff' | 'fastify-bff, Redis'

interface Variant {
  kind: Kind
  /** At `warn` neither logs anything. At `info`, the gateway's default, the bare proxy logs two lines, the gateway one. */
  logLevel: 'warn' | 'info'
}

const variants: Variant[] = (['warn', 'info'] as const).flatMap((logLevel) => [
  { kind: 'bare @fastify/http-proxy', logLevel },
  { kind: 'fastify-bff', logLevel },
  { kind: 'fastify-bff, Redis', logLevel },
])

/** A server under measurement. */
interface Subject extends Variant {
  server: ChildProcess
  pool: Pool
  headers: Record<string, string>
  samples: Sample[]
}

/** The result of one round. */
interface Sample {
  /** Microseconds of the server's CPU time for a request. */
  cpu: number
  requestsPerSecond: number
  /** Median. */
  latencyMs: number
}

/**
 * A warm session's request through the gateway, against the same request through a bare @fastify/http-proxy that
 * has neither sessions nor tokens. Each is a separate process; they alternate, as a machine's speed varies.
 */
export async function proxy(): Promise<void> {
  await withEnding(async (ending) => {
    const api = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      response.end('{"time":"2026-01-01T00:00:00.000Z"}')
    })
    const apiUrl = `http://127.0.0.1:${await listen(api, 0)}`
    ending.after(() => stop(api))
    const issuer = await startIssuer({ accessTokenLifetime: 3600 })
    ending.after(issuer.close)
    const redis = await startRedis()
    ending.after(redis.close)

    const subjects: Subject[] = []
    for (const variant of variants) {
      const subject = await start(variant, { apiUrl, issuer, redisUrl: redis.url })
      ending.after(() => end(subject))
      subjects.push(subject)
    }
    for (let round = -warmUpRounds; round < rounds; round++) {
      for (const subject of subjects) {
        const sample = await measure(subject)
        if (round >= 0) subject.samples.push(sample)
      }
    }

    console.table(subjects.map((subject) => row(subject, subjects)))
  })
}

interface Surroundings {
  apiUrl: string
  issuer: DemoIssuer
  redisUrl: string
}

async function start(
  { kind, logLevel }: Variant,
  { apiUrl, issuer, redisUrl }: Surroundings,
): Promise<Subject> {
  const port = await freePort()
  const url = `http://localhost:${port}`
  issuer.allowGateway(url)
  const gateway = {
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    SESSION_KEYS: Buffer.alloc(32, 'a key for benchmarks').toString('base64'),
    ...(kind === 'fastify-bff, Redis' && { REDIS_URL: redisUrl }),
  }
  const isBare = kind === 'bare @fastify/http-proxy'
  const settings: ProxyServer = { port, apiUrl, logLevel, ...(!isBare && { gateway }) }
  const server = fork(join(import.meta.dirname, 'proxy-server.ts'), [JSON.stringify(settings)], {
    // Logs are discarded, as cheaply as possible.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  await once(server, 'message')
  // The bare proxy passes it on.
  const cookie = isBare ? `bff=${'x'.repeat(250)}` : await signIn(url)
  const pool = new Pool(url, { connections: parallel })
  const headers = { cookie, 'x-csrf': '1', accept: '*/*', 'sec-fetch-site': 'same-origin' }
  return { kind, logLevel, server, pool, headers, samples: [] }
}

async function signIn(url: string): Promise<string> {
  const browser = createHttpBrowser()
  await browser.signIn(url, 'alice')
  return browser.cookies.headerFor(new URL(url)) ?? ''
}

async function measure({ pool, headers, server }: Subject): Promise<Sample> {
  const latencies: number[] = []
  let left = requestsPerRound
  const work = async () => {
    while (left-- > 0) {
      const sentAt = performance.now()
      const { statusCode, body } = await pool.request({ method: 'GET', path: '/api/time', headers })
      await body.dump()
      if (statusCode !== 200) throw new Error(`Answered ${statusCode}`)
      latencies.push(performance.now() - sentAt)
    }
  }
  const cpuBefore = await cpuTime(server)
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: parallel }, work))
  const seconds = (performance.now() - startedAt) / 1000
  return {
    cpu: ((await cpuTime(server)) - cpuBefore) / requestsPerRound,
    requestsPerSecond: requestsPerRound / seconds,
    latencyMs: median(latencies),
  }
}

/** In microseconds. */
async function cpuTime(server: ChildProcess): Promise<number> {
  server.send('how much?')
  const [{ user, system }] = await once(server, 'message')
  return user + system
}

function row(subject: Subject, subjects: Subject[]) {
  const { kind, logLevel } = subject
  const baseline = subjects.find((other) => other.logLevel === logLevel) ?? subject
  const figure = (name: keyof Sample) => median(subject.samples.map((sample) => sample[name]))
  const ratio = (name: keyof Sample) => figure(name) / median(baseline.samples.map((sample) => sample[name]))
  return {
    '': kind,
    'log level': logLevel,
    'CPU µs per request': Math.round(figure('cpu')),
    'to the bare proxy': ratio('cpu').toFixed(2),
    'requests/s': Math.round(figure('requestsPerSecond')),
    'to the bare one': ratio('requestsPerSecond').toFixed(2),
    'p50 ms': figure('latencyMs').toFixed(2),
  }
}

async function end({ server, pool }: Subject): Promise<void> {
  await pool.close()
  const exited = once(server, 'exit')
  server.kill()
  await exited
}
