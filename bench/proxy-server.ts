import { monitorEventLoopDelay } from 'node:perf_hooks'
import httpProxy from '@fastify/http-proxy'
import Fastify, { type FastifyInstance } from 'fastify'
import { buildApp } from '../app.ts'
import { loadConfig } from '../config/index.ts'
import { createSessions } from './sessions.ts'

/** A server under measurement, in a process of its own: its processor time and memory are those of nothing else. */
export interface ProxyServer {
  port: number
  apiUrl: string
  logLevel: string
  /** Variables of the gateway. Unset: a bare @fastify/http-proxy, which knows neither sessions nor tokens. */
  gateway?: Record<string, string>
  /** Number of sessions that a gateway has from the start, without a login. */
  sessions?: number
  /** It refuses nothing, however late its event loop is on a busy machine. */
  neverOverloaded?: boolean
}

/** The first message, when the server listens. */
export interface Listening {
  /** `Cookie` headers of its sessions. */
  cookies: string[]
}

/** The answer to each message: use of resources so far. */
export interface Usage {
  /** Processor time in microseconds. */
  cpu: number
  /** Resident memory now, and the most so far, in bytes. */
  rss: number
  peakRss: number
  /** Longest and 99th percentile delay of the event loop since the last message, in milliseconds. */
  longestStallMs: number
  p99StallMs: number
}

const settings: ProxyServer = JSON.parse(process.argv[2] ?? '')
const server = settings.gateway ? gateway(settings, settings.gateway) : bare(settings)
await server.listen({ host: 'localhost', port: settings.port })
const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
process.on('message', (message) => {
  // Not closed: connections of the load may be open. Writes a CPU profile, if one was asked for.
  if (message === 'end') process.exit()
  process.send?.(usage())
  delay.reset()
})
// The benchmark has been broken off.
process.on('disconnect', () => process.exit())
const cookies = await createSessions(server, settings.sessions ?? 0)
process.send?.({ cookies } satisfies Listening)

function usage(): Usage {
  const { user, system } = process.cpuUsage()
  return {
    cpu: user + system,
    rss: process.memoryUsage.rss(),
    peakRss: process.resourceUsage().maxRSS * 1024,
    longestStallMs: delay.max / 1e6,
    p99StallMs: delay.percentile(99) / 1e6,
  }
}

function gateway(
  { port, apiUrl, logLevel, neverOverloaded }: ProxyServer,
  env: Record<string, string>,
): FastifyInstance {
  const usual = { PUBLIC_URL: `http://localhost:${port}`, API_URL: apiUrl, LOG_LEVEL: logLevel }
  const { options } = loadConfig({ ...usual, ...env })
  return buildApp(options, neverOverloaded ? { isOverloaded: () => false } : {})
}

function bare({ apiUrl, logLevel: level }: ProxyServer): FastifyInstance {
  return Fastify({ logger: { level } }).register(httpProxy, { prefix: '/api', upstream: apiUrl })
}
