import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { buildApp } from '../app.ts'
import { loadConfig } from '../config/index.ts'
import type { LogStream } from '../plugins/edge/index.ts'
import { clientFiles } from './client-files.ts'
import { type DemoIssuer, startIssuer } from './issuer.ts'
import { asPortInUse, isInUse, listen, PortInUseError, stop } from './listen.ts'
import { localApi } from './local-api.ts'
import { startTimeApi, type TimeApi } from './time-api.ts'

export interface DemoOptions {
  /** 0 takes a free port. */
  ports: { issuer: number; timeApi: number; gateway: number }
  /** Seconds. Default 30. */
  accessTokenLifetime?: number
  /** Default `warn`. */
  logLevel?: string
  /** Where the gateway's log goes. Default: standard output. */
  logStream?: LogStream
}

export interface Demo {
  /** URL for the browser. */
  url: string
  issuer: DemoIssuer
  timeApi: TimeApi
  app: FastifyInstance
  /** Warnings about the gateway's configuration. */
  warnings: string[]
  close(): Promise<void>
}

interface DemoPort {
  service: string
  variable: string
  port: number
}

/** Ports of the demo are in use. The message names the services, and how to choose other ports. */
export class DemoPortError extends Error {
  constructor(taken: DemoPort[], cause?: PortInUseError) {
    const others = taken.map(({ variable, port }) => `${variable}=${port + 1}`).join(' ')
    const names = taken.map(({ service, port }) => `Port ${port}, for the ${service}, is in use.`).join('\n')
    super(`${names}\nChoose ${taken.length > 1 ? 'others' : 'another one'}:  ${others} npm run demo`, {
      cause,
    })
  }
}

/** Of the time API's access tokens. */
export const audience = 'urn:fastify-bff:demo:time-api'

/**
 * An issuer, a time API and the gateway between them and the sample page, in this process, on loopback.
 *
 * @throws DemoPortError
 */
export async function startDemo({
  ports,
  accessTokenLifetime = 30,
  logLevel = 'warn',
  logStream,
}: DemoOptions): Promise<Demo> {
  const started: Closable[] = []
  const close = async () => {
    for (const service of started.splice(0).reverse()) await service.close()
  }
  await checkPorts(ports)
  try {
    const port = ports.gateway || (await freePort())
    const url = `http://localhost:${port}`

    const issuer = await naming('identity provider', 'DEMO_IDP_PORT', () =>
      startIssuer({ port: ports.issuer, publicUrls: [url], apiAudience: audience, accessTokenLifetime }),
    )
    started.push(issuer)

    const timeApi = await naming('time API', 'DEMO_API_PORT', () =>
      startTimeApi({ port: ports.timeApi, issuer: issuer.issuer, audience }),
    )
    started.push(timeApi)

    const { options, warnings } = loadConfig(gatewayEnvironment(url, issuer, timeApi, logLevel))
    const app = buildApp(options, { localRoutes: pageRoutes, ...(logStream && { logStream }) })
    started.push({ close: () => closeGateway(app) })
    await naming('gateway', 'PORT', async () => {
      const { host } = options
      await app.listen({ host, port }).catch((error: unknown) => {
        throw asPortInUse(error, port)
      })
    })

    return { url, issuer, timeApi, app, warnings, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** @throws DemoPortError with all that are in use */
async function checkPorts({ issuer, timeApi, gateway }: DemoOptions['ports']): Promise<void> {
  const wanted: DemoPort[] = [
    { service: 'identity provider', variable: 'DEMO_IDP_PORT', port: issuer },
    { service: 'time API', variable: 'DEMO_API_PORT', port: timeApi },
    { service: 'gateway', variable: 'PORT', port: gateway },
  ]
  const inUse = await Promise.all(wanted.map(async ({ port }) => port !== 0 && isInUse(port)))
  const taken = wanted.filter((_, index) => inUse[index])
  if (taken.length > 0) throw new DemoPortError(taken)
}

interface Closable {
  close(): Promise<void>
}

/** Closes connections at once: browsers keep them open for more than a minute. */
async function closeGateway(app: FastifyInstance): Promise<void> {
  const closed = app.close()
  app.server.closeAllConnections()
  await closed
}

function gatewayEnvironment(url: string, issuer: DemoIssuer, timeApi: TimeApi, logLevel: string) {
  return {
    PUBLIC_URL: url,
    // Both loopback addresses, if the machine has two.
    HOST: 'localhost',
    PORT: new URL(url).port,
    LOG_LEVEL: logLevel,
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    // The access token is for the time API, so the issuer refuses it at UserInfo.
    OIDC_USERINFO: 'false',
    OIDC_SCOPE: 'openid profile email offline_access time:read',
    SESSION_KEYS: randomBytes(32).toString('base64'),
    REFRESH_BEFORE_EXPIRATION: '15s',
    API_URL: timeApi.url,
    STATIC_DIR: fileURLToPath(new URL('./page', import.meta.url)),
  }
}

async function naming<T>(service: string, variable: string, start: () => Promise<T>): Promise<T> {
  try {
    return await start()
  } catch (error) {
    throw error instanceof PortInUseError
      ? new DemoPortError([{ service, variable, port: error.port }], error)
      : error
  }
}

/** What the sample page needs besides its files and the time API. */
const pageRoutes: FastifyPluginAsync = async (app) => {
  app.register(clientFiles)
  app.register(localApi)
}

/** The gateway's own port has to be known before it listens: its redirect URI has it. */
async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server, 0)
  await stop(server)
  return port
}
