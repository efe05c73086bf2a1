import { createRemoteJWKSet, jwtVerify } from 'jose'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { type DemoIssuer, startIssuer } from '../demo/issuer.ts'
import { freePort } from '../test/support/free-port.ts'
import { startRedis } from '../test/support/redis.ts'
import { pin } from './cores.ts'
import { withEnding } from './ending.ts'
import { latencies, median } from './latencies.ts'
import { type Load, openLoad } from './load.ts'
import { type RawApi, startRawApi } from './raw-api.ts'
import { report } from './report.ts'
import { type Subject, startSubject } from './subject.ts'

const connections = 64
const sessions = 8
/** Enough for V8 to have compiled what runs often. */
const warmUpRequests = 6000
const audience = 'urn:bench:api'
/** The server has a core of its own; load, API, issuer and Redis share the other. */
const [loadCore, serverCore] = [0, 1]

type Kind = 'bare @fastify/http-proxy' | 'fastify-bff' | 'fastify-bff, Redis'

interface Variant {
  kind: Kind
  /** At `warn` neither has anything to log. `info` is the gateway's default; the bare one logs two lines, we one. */
  logLevel: 'warn' | 'info'
}

const variants: Variant[] = (['warn', 'info'] as const).flatMap((logLevel) => [
  { kind: 'bare @fastify/http-proxy', logLevel },
  { kind: 'fastify-bff', logLevel },
  { kind: 'fastify-bff, Redis', logLevel },
])

const bodies = { '/small': Buffer.alloc(120, '{"time":0}'), '/large': Buffer.alloc(100 * 1024, '{"time":0}') }
const sizes = [
  { name: '120 B', path: '/small', perRound: 500 },
  { name: '100 KiB', path: '/large', perRound: 200 },
] as const

export interface ProxyBenchmark {
  /** Only variants whose name contains this, and the bare proxy. */
  only?: string | undefined
  /** How long all measuring takes, about. */
  seconds: number
  /** Folder for CPU profiles. */
  profile?: string | undefined
  json: boolean
}

/** A server under measurement. */
interface Measured extends Variant {
  server: Subject
  load: Load
  api: RawApi
  samples: Record<keyof typeof bodies, Sample[]>
}

/** What one round came to. */
interface Sample {
  /** Microseconds of processor time for a request, in the server alone. */
  cpu: number
  requestsPerSecond: number
  p50: number
  p99: number
}

/**
 * A warm session's request through the gateway, against the same request through a bare @fastify/http-proxy that
 * knows neither sessions nor tokens. Each is a process of its own; they take turns, since a machine has its moods.
 */
export async function proxy({ only = '', seconds, profile, json }: ProxyBenchmark): Promise<void> {
  await withEnding(async (ending) => {
    const isPinned = pin(process.pid, loadCore)
    if (!isPinned)
      console.log('Without taskset: servers share cores with the load, so the ratios say less.\n')
    const issuer = await startIssuer({ accessTokenLifetime: 3600, apiAudience: audience })
    ending.after(issuer.close)
    const redis = await startRedis()
    ending.after(redis.close)

    const subjects: Measured[] = []
    for (const variant of chosen(only)) {
      const api = await startRawApi({ bodies, needsToken: !isBare(variant) })
      ending.after(api.close)
      const subject = await start(variant, { api, issuer, redisUrl: redis.url, isPinned, profile })
      ending.after(() => end(subject))
      subjects.push(subject)
    }
    for (const subject of subjects)
      for (const { path } of sizes) await measure(subject, path, warmUpRequests / sizes.length)
    const until = performance.now() + seconds * 1000
    do {
      for (const { path, perRound } of sizes) {
        for (const subject of subjects) subject.samples[path].push(await measure(subject, path, perRound))
      }
    } while (performance.now() < until)
    for (const subject of subjects) await checkTokens(subject, issuer)

    const table = sizes.flatMap((size) => subjects.map((subject) => row(subject, subjects, size)))
    report(table, json)
  })
}

/** The variants whose name contains this, and the bare ones of the same log levels. */
function chosen(only: string): Variant[] {
  const measured = variants.filter((each) => !isBare(each) && nameOf(each).includes(only))
  const levels = new Set(measured.map(({ logLevel }) => logLevel))
  return variants.filter((each) => measured.includes(each) || (isBare(each) && levels.has(each.logLevel)))
}

interface Surroundings {
  api: RawApi
  issuer: DemoIssuer
  redisUrl: string
  isPinned: boolean
  profile: string | undefined
}

async function start(
  variant: Variant,
  { api, issuer, redisUrl, isPinned, profile }: Surroundings,
): Promise<Measured> {
  const { kind, logLevel } = variant
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
  const server = await startSubject(
    nameOf(variant),
    { apiUrl: api.url, logLevel, ...(!isBare(variant) && { gateway }) },
    { port, execArgv: profile === undefined ? [] : profiling(variant, profile) },
  )
  if (isPinned) pin(server.pid, serverCore)
  const cookies: string[] = []
  // The bare one passes it on.
  for (let i = 0; i < sessions; i++)
    cookies.push(isBare(variant) ? `bff=${'x'.repeat(250)}` : await signIn(url))
  return {
    kind,
    logLevel,
    server,
    api,
    load: await openLoad(port, connections, cookies),
    samples: { '/small': [], '/large': [] },
  }
}

function profiling(variant: Variant, folder: string): string[] {
  const name = nameOf(variant).replaceAll(/[^\w]+/g, '-')
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${name}.cpuprofile`]
}

function nameOf({ kind, logLevel }: Variant): string {
  return `${kind} ${logLevel}`
}

async function signIn(url: string): Promise<string> {
  const browser = createHttpBrowser()
  await browser.signIn(url, 'alice')
  return browser.cookies.headerFor(new URL(url)) ?? ''
}

async function measure(subject: Measured, path: keyof typeof bodies, requests: number): Promise<Sample> {
  const { load, server, api, kind } = subject
  const ask = (count: number) =>
    load.run(`/api${path}`, bodies[path], count).catch((cause: unknown) => {
      throw new Error(`${nameOf(subject)} answered ${path} wrongly`, { cause })
    })
  // The others' turns took longer than Redis's records are believed: what is measured are warm sessions.
  await ask(connections)
  const cpuBefore = (await server.usage()).cpu
  const startedAt = performance.now()
  const samples = await ask(requests)
  const seconds = (performance.now() - startedAt) / 1000
  const cpu = (await server.usage()).cpu - cpuBefore
  if (api.refused() > 0) throw new Error(`${kind} sent requests without a token`)
  const { count, p50, p99 } = latencies(samples)
  return { cpu: cpu / count, requestsPerSecond: count / seconds, p50, p99 }
}

/** The API took any token, to cost little: now each is verified. */
async function checkTokens(subject: Measured, { issuer }: DemoIssuer): Promise<void> {
  if (isBare(subject)) return
  const { tokens } = subject.api
  if (tokens.size !== sessions) throw new Error(`${tokens.size} tokens came of ${sessions} sessions`)
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
  for (const token of tokens) await jwtVerify(token, keys, { issuer, audience })
}

function isBare({ kind }: Variant): boolean {
  return kind === 'bare @fastify/http-proxy'
}

function row(subject: Measured, subjects: Measured[], { name, path }: (typeof sizes)[number]) {
  const { kind, logLevel } = subject
  const bare = subjects.find((other) => other.logLevel === logLevel) ?? subject
  const figures = (of: Measured, what: keyof Sample) => of.samples[path].map((sample) => sample[what])
  const figure = (what: keyof Sample) => median(figures(subject, what))
  // Round by round, since a machine's moods last longer than a round.
  const ratio = (what: keyof Sample) => {
    const others = figures(bare, what)
    return median(
      figures(subject, what).map((value, round) => value / (others[round] ?? Number.NaN)),
    ).toFixed(2)
  }
  return {
    '': kind,
    answer: name,
    'log level': logLevel,
    'CPU µs': Math.round(figure('cpu')),
    'CPU to bare': ratio('cpu'),
    'requests/s': Math.round(figure('requestsPerSecond')),
    'requests/s to bare': ratio('requestsPerSecond'),
    'p50 ms': figure('p50').toFixed(2),
    'p99 ms': figure('p99').toFixed(2),
  }
}

async function end({ server, load }: Measured): Promise<void> {
  load.close()
  await server.end()
}
