import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { type AppExtras, buildApp } from '../../app.ts'
import { loadConfig } from '../../config/index.ts'
import type { DemoIssuer } from '../../demo/issuer.ts'
import { freePort } from '../support/free-port.ts'

export interface BrowserGateway {
  /** By default on 127.0.0.1, which for a browser is another site than `localhost`, where the issuer is. */
  url: string
  app: FastifyInstance
  close(): Promise<void>
}

/**
 * The whole gateway in this process, on a free port.
 * @param env in addition to the minimal configuration
 * @param path of its public URL
 * @param host of its public URL
 * @param extras of the composition root
 */
export async function startGateway(
  issuer: DemoIssuer,
  env: Record<string, string>,
  path = '',
  host = '127.0.0.1',
  extras: AppExtras = {},
): Promise<BrowserGateway> {
  const port = await freePort()
  const url = `http://${host}:${port}${path}`
  issuer.allowGateway(url)
  const { options } = loadConfig({
    PUBLIC_URL: url,
    OIDC_ISSUER: issuer.issuer,
    OIDC_CLIENT_ID: issuer.clientId,
    OIDC_CLIENT_SECRET: issuer.clientSecret,
    SESSION_KEYS: randomBytes(32).toString('base64'),
    LOG_LEVEL: 'silent',
    ...env,
  })
  const app = buildApp(options, { isOverloaded: () => false, ...extras })
  await app.listen({ host: '127.0.0.1', port })
  return {
    url,
    app,
    async close() {
      const closed = app.close()
      // Browsers keep idle connections open for more than a minute.
      app.server.closeAllConnections()
      await closed
    },
  }
}
