import httpProxy from '@fastify/http-proxy'
import Fastify, { type FastifyInstance } from 'fastify'
import { buildApp } from '../app.ts'
import { loadConfig } from '../config/index.ts'

/** One of the servers that proxy.ts compares. */
export interface ProxyServer {
  port: number
  apiUrl: string
  logLevel: string
  /** Variables of the gateway. Unset: a bare @fastify/http-proxy, which knows neither sessions nor tokens. */
  gateway?: Record<string, string>
}

// In a separate process, to measure its CPU time: it answers messages with it.
const settings: ProxyServer = JSON.parse(process.argv[2] ?? '')
const server = settings.gateway ? gateway(settings, settings.gateway) : bare(settings)
await server.listen({ host: 'localhost', port: settings.port })
process.on('message', (message) => {
  if (message !== 'end') process.send?.(process.cpuUsage())
  // Not closed: connections of the load may be open. Writes a CPU profile, if one was asked for.
  else process.exit()
})
process.send?.('listening')

function gateway({ port, apiUrl, logLevel }: ProxyServer, env: Record<string, string>): FastifyInstance {
  const usual = { PUBLIC_URL: `http://localhost:${port}`, API_URL: apiUrl, LOG_LEVEL: logLevel }
  return buildApp(loadConfig({ ...usual, ...env }).options)
}

function bare({ apiUrl, logLevel: level }: ProxyServer): FastifyInstance {
  return Fastify({ logger: { level } }).register(httpProxy, { prefix: '/api', upstream: apiUrl })
}
