import { randomUUID } from 'node:crypto'
import { METHODS, type RequestListener, type Server } from 'node:http'
import { type FastifyHttpOptions, type FastifyInstance, LogController } from 'fastify'
import { basePath, type GatewayOptions } from '../../config/index.ts'
import { type Limits, maxBodyBytes, maxHeaderBytes } from '../../http/limits.ts'
import { routableUrl } from '../../http/path.ts'
import { answerBadUrl, answerMalformed, type ErrorsOptions } from '../errors/index.ts'
import { loggerOptions } from '../logging/logger.ts'
import { createTlsServer, type Http1Options } from './tls-server.ts'
import { mayUpgrade } from './upgrade.ts'

/** Registers all methods that Node can parse: Fastify answers unregistered ones with 404, where 405 is right. */
export function routeEveryMethod(app: FastifyInstance): void {
  // Node emits a separate event for CONNECT.
  const others = METHODS.filter((method) => method !== 'CONNECT' && !app.supportedMethods.includes(method))
  for (const method of others) app.addHttpMethod(method)
}

export interface LogStream {
  write(line: string): void
}

/** Options of Fastify and Node for the gateway's own server. */
export function serverOptions(
  { publicUrl, trustProxy, logLevel, tls, keepAliveTimeoutMs, upstreams }: GatewayOptions,
  errors: ErrorsOptions,
  { headersTimeoutMs }: Limits,
  logStream?: LogStream,
): FastifyHttpOptions<Server> {
  const base = basePath(publicUrl)
  const prefixes = upstreams.map(({ prefix }) => prefix)
  const http: Http1Options = {
    // Checked with all other faults of `Host`, see namesOneHost.
    requireHostHeader: false,
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    connectionsCheckingInterval: Math.ceil(headersTimeoutMs / 6),
    shouldUpgradeCallback: mayUpgrade,
  }
  return {
    logger: { ...loggerOptions(logLevel), ...(logStream && { stream: logStream }) },
    // Fastify's request log contains full URLs, and so authorization codes.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    // Fastify does not trust a hop count by itself, since a direct client can claim any number of hops.
    trustProxy: typeof trustProxy === 'number' ? (_address, hop) => hop < trustProxy : trustProxy,
    // For URLs that can't be routed, which reach no error handler.
    frameworkErrors: answerBadUrl(errors),
    // For requests that are not valid HTTP, likewise.
    clientErrorHandler: answerMalformed,
    // Some proxies in front strip the base path, others do not.
    rewriteUrl: ({ url = '/' }) => routableUrl(withoutBase(url, base), prefixes),
    // Requests on open connections are still answered after closing has begun.
    return503OnClosing: false,
    keepAliveTimeout: keepAliveTimeoutMs,
    bodyLimit: maxBodyBytes,
    http,
    // `https` only makes Fastify log the right scheme.
    ...(tls && {
      https: {},
      serverFactory: (listener: RequestListener) => createTlsServer(listener, http, keepAliveTimeoutMs),
    }),
  }
}

function withoutBase(url: string, base: string): string {
  if (!base || !url.startsWith(base)) return url
  const rest = url.slice(base.length)
  if (rest.startsWith('/')) return rest
  return rest === '' || rest.startsWith('?') ? `/${rest}` : url
}
