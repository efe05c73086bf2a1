import type { FastifyPluginAsync } from 'fastify'
import { upstreamDefaults } from '../../../config/index.ts'
import { isWebSocketUpgrade } from '../../../http/origin.ts'
import { GatewayError } from '../../errors/catalogue.ts'
import upstreamProxy from '../../upstream/index.ts'
import { isOwnHost } from './own-host.ts'

export interface DevServerOptions {
  /** The frontend's development server, such as Vite's. */
  frontendUrl: URL
  publicUrl: URL
  /** Path of the public URL, without a slash at its end. */
  basePath: string
  /** Lower case. */
  csrfHeader: string
  /** Names of the session cookies of all frontends in this process. */
  sessionCookies: string[]
}

/** No OPTIONS: a preflight is for the gateway's own endpoints, where CORS is granted. */
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

/**
 * Everything that is not the gateway's own comes from the frontend's development server, hot reload included. It gets
 * no token and no cookie, and says itself which security headers its pages can live with.
 */
const devServer: FastifyPluginAsync<DevServerOptions> = async (app, options) => {
  const { frontendUrl, publicUrl, ...rest } = options
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
    throw isDown ? new GatewayError(error.code, { details: notThere, cause: error }) : error
  })
  await app.register(upstreamProxy, {
    // Everything: a prefix would end in a slash too many.
    upstream: { ...upstreamDefaults(), prefix: '', target: frontendUrl, token: 'none' },
    methods,
    publicUrl,
    allHeaders: true,
    ...rest,
  })
}

export default devServer

const notThere = 'The development server of the frontend, FRONTEND_URL, could not be reached: is it running?'
