import { readFileSync } from 'node:fs'
import type { FastifyPluginAsync } from 'fastify'
import { upstreamDefaults } from '../../../config/index.ts'
import { isWebSocketUpgrade } from '../../../http/fields.ts'
import { GatewayError } from '../../errors/catalogue.ts'
import { isOwnHost } from '../../guard/checks.ts'
import upstreamProxy from '../../upstream/index.ts'

export interface DevServerOptions {
  /** The frontend's development server, such as Vite's. */
  frontendUrl: URL
  /** PEM file with certificates to trust instead of the system's. */
  caFile: string | undefined
  publicUrl: URL
  /** Path of the public URL, without a slash at its end. */
  basePath: string
  /** Lower case. */
  csrfHeader: string
  /** Names of the session cookies of all frontends in this process. */
  sessionCookies: string[]
}

/** Without OPTIONS: CORS is granted at the gateway's own endpoints only, and they answer preflights. */
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

/**
 * Proxies every path that is not the gateway's own to the frontend's development server, hot reload included. The
 * server gets no tokens and no cookies, and sets the security headers of its pages itself.
 */
const devServer: FastifyPluginAsync<DevServerOptions> = async (app, options) => {
  const { frontendUrl, caFile, publicUrl, ...rest } = options
  app.addHook('onRequest', async ({ headers, host, raw }) => {
    if (!isOwnHost(host, publicUrl)) {
      throw new GatewayError('BFF_CSRF_REJECTED', {
        details: 'The request names another host than PUBLIC_URL',
      })
    }
    if (isWebSocketUpgrade(raw) && headers.origin !== publicUrl.origin) {
      throw new GatewayError('BFF_CSRF_REJECTED', { details: 'A WebSocket needs the Origin of PUBLIC_URL' })
    }
  })
  app.setErrorHandler((error) => {
    const isDown = error instanceof GatewayError && error.code === 'BFF_UPSTREAM_UNREACHABLE'
    throw isDown ? new GatewayError(error.code, { details: notRunning, cause: error }) : error
  })
  await app.register(upstreamProxy, {
    // Empty for all paths: `/` as a prefix would add a second slash.
    upstream: {
      ...upstreamDefaults(),
      prefix: '',
      target: frontendUrl,
      token: 'none',
      ...(caFile !== undefined && { ca: readFileSync(caFile, 'utf8') }),
    },
    methods,
    publicUrl,
    allHeaders: true,
    ...rest,
  })
}

export default devServer

const notRunning =
  'The development server of the frontend, FRONTEND_URL, could not be reached: is it running?'
