import { createServer } from 'node:http'
import httpProxy from '@fastify/http-proxy'
import Fastify, { type FastifyInstance } from 'fastify'
import { Pool } from 'undici'
import { buildApp } from '../app.ts'
import { createHttpBrowser } from '../demo/http-browser.ts'
import { startIssuer } from '../demo/issuer.ts'
import { listen, stop } from '../demo/listen.ts'
import { loadConfig } from '../plugins/config/load-config.ts'
import { freePort } from '../test/support/free-port.ts'
import { withEnding } from './ending.ts'
import { median } from './latencies.ts'

const rounds = 7
const requestsPerRound = 6000
const parallel = 64

/**
 * A warm session's request through the gateway, against the same request through a bare @fastify/http-proxy that
 * knows neither sessions nor tokens. All in one process, so it is a ratio of processor time, client included.
 */
export async function proxy(): Promise<void> {
  await withEnding(async (ending) => {
    const api = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      response.end('{"time":"2026-01-01T00:00:00.000Z"}')
    })
    const apiUrl = `http://127.0.0.1:${await listen(api, 0)}`
    ending.after(() => stop(api))

    const bare = Fastify()
    bare.register(httpProxy, { prefix: '/api', upstream: apiUrl })
    const bareUrl = await bare.listen({ port: 0, host: '127.0.0.1' })
    ending.after(() => close(bare))

    const { app, url, cookie } = await startSignedIn(ending, apiUrl)
    ending.after(() => close(app))

    const variants = {
      'bare @fastify/http-proxy': new Pool(bareUrl, { connections: parallel }),
      'fastify-bff': new Pool(url, { connections: parallel }),
    }
    const rates = new Map<string, number[]>()
    for (let round = 0; round <= rounds; round++) {
      for (const [name, pool] of Object.entries(variants)) {
        const rate = await requestsPerSecond(pool, cookie)
        // The first round warms up.
        if (round > 0) rates.set(name, [...(rates.get(name) ?? []), rate])
      }
    }
    await Promise.all(Object.values(variants).map((pool) => pool.close()))

    const baseline = median(rates.get('bare @fastify/http-proxy') ?? [])
    console.table(
      [...rates].map(([name, samples]) => ({
        '': name,
        'requests/s (median)': Math.round(median(samples)),
        'to the bare proxy': (median(samples) / baseline).toFixed(2),
      })),
    )
  })
}

async function startSignedIn(ending: { after(end: () => Promise<unknown>): void }, apiUrl: string) {
  const issuer = await startIssuer({ accessTokenLifetime: 3600 })
  ending.after(issuer.close)
  const port = await freePort()
  const url = `http://localhost:${port}`
  issuer.allowGateway(url)
  const { options } = loadConfig({
    PUBLIC_URL: url,
    PORT: String(port),
    LOG_LEVEL: 'warn',
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    API_URL: apiUrl,
  })
  const app = buildApp(options)
  await app.listen({ host: 'localhost', port })
  const browser = createHttpBrowser()
  await browser.signIn(url, 'alice')
  return { app, url, cookie: browser.cookies.headerFor(new URL(url)) ?? '' }
}

async function requestsPerSecond(pool: Pool, cookie: string): Promise<number> {
  const startedAt = performance.now()
  let left = requestsPerRound
  const work = async () => {
    while (left-- > 0) {
      const headers = { cookie, 'x-csrf': '1' }
      const { statusCode, body } = await pool.request({ method: 'GET', path: '/api/time', headers })
      await body.dump()
      if (statusCode !== 200) throw new Error(`Answered ${statusCode}`)
    }
  }
  await Promise.all(Array.from({ length: parallel }, work))
  return requestsPerRound / ((performance.now() - startedAt) / 1000)
}

async function close(app: FastifyInstance): Promise<void> {
  const closed = app.close()
  app.server.closeAllConnections()
  await closed
}
